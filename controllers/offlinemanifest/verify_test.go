package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

func TestWhatMayPassIsTriedAgainAndWhatIsTrueIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason string
		again  bool
		// person says that somebody has to do something first.
		person bool
	}{
		"the disk did not give a byte":       {fmt.Errorf("read bundle: %w", syscall.EIO), ReasonUnreadable, true, false},
		"the reading was interrupted":        {&os.PathError{Op: "read", Path: "k", Err: syscall.EINTR}, ReasonUnreadable, true, false},
		"a server of files has gone":         {syscall.ESTALE, ReasonUnreadable, true, false},
		"the disk was full":                  {fmt.Errorf("put it into the store: %w", syscall.ENOSPC), "DiskFull", true, true},
		"the quota was used up":              {syscall.EDQUOT, "DiskFull", true, true},
		"the file may not be read":           {&os.PathError{Op: "open", Path: "k", Err: syscall.EACCES}, ReasonUnreadable, true, true},
		"the file was written to meanwhile":  {&verified.ChangedError{Path: "k"}, ReasonChanged, true, false},
		"it is another bundle":               {&bundle.UntrustedError{}, ReasonDigestMismatch, false, false},
		"a blob is not what it is named":     {&bundle.DigestMismatchError{}, ReasonCorrupt, false, false},
		"the form is not a bundle's":         {&bundle.MalformedError{}, ReasonCorrupt, false, false},
		"the end is missing":                 {&bundle.TruncatedError{}, ReasonCorrupt, false, false},
		"it is of a form not known yet":      {&bundle.UnsupportedFormatError{}, ReasonUnsupported, false, false},
		"its signature is by another key":    {&sign.UntrustedKeyError{}, ReasonNotSigned, false, false},
		"its signature is wrong":             {&sign.BadSignatureError{Err: errors.New("no")}, ReasonNotSigned, false, false},
		"it is an old one that was replayed": {&sign.ReplayedError{}, ReasonReplayed, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if reason := reasonOf(c.err); reason != c.reason || mayPass(c.err) != c.again || isForSomebody(c.err) != c.person {
				t.Errorf("it is %s, may pass: %v, for a person: %v", reason, mayPass(c.err), isForSomebody(c.err))
			}
			now := time.Unix(1800000000, 0)
			dir := storeDir(t.TempDir())
			v, store := verifierIn(t, dir, func() time.Time { return now })
			tries, hash := 0, v.verify
			v.verify = func(ctx context.Context, b *bundle.Bundle, o verified.Options) (*verified.Result, error) {
				if tries++; tries <= 2 {
					return nil, c.err
				}
				return hash(ctx, b, o)
			}
			id := incoming(t, dir, "v1.36.3", []byte("the program kubelet"))
			for try := 1; try <= 2; try++ {
				v.ensure("m", id, trust{})
				v.wg.Wait()
				at := v.ensure("m", id, trust{})
				if !at.ended || !errors.Is(at.err, c.err) || tries != try && c.again {
					t.Fatalf("after try %d of %d: %+v", tries, try, at)
				}
				if wait := time.Duration(try) * time.Minute; c.again && at.again != wait {
					t.Errorf("the next try comes in %s, want %s", at.again, wait)
				}
				if _, err := os.Stat(id.Path); err != nil {
					t.Errorf("the file was not left alone: %v", err)
				}
				now = now.Add(time.Duration(try) * time.Minute)
			}
			if at := v.ensure("m", id, trust{}); c.again && !errors.Is(at.before, c.err) {
				t.Errorf("while it is tried again nothing says why: %+v", at)
			}
			v.wg.Wait()
			now = now.Add(24 * time.Hour)
			v.ensure("m", id, trust{})
			v.wg.Wait()
			id = placed(t, dir, id)
			if _, _, ok := store.lookup("m", id); ok != c.again {
				t.Errorf("it was tried %d times and is open: %v", tries, ok)
			}
			if !c.again && tries != 1 {
				t.Errorf("it was tried %d times, though nothing changed", tries)
			}
		})
	}
}

// placed is what a bundle is known by where the store has it now.
func placed(t *testing.T, dir storeDir, id identity) identity {
	t.Helper()
	at, _, err := dir.find(id.Digest)
	check(t, err)
	return at
}

func TestABundleThatCannotBeRememberedIsUsedAllTheSame(t *testing.T) {
	dir := storeDir(t.TempDir())
	id := incoming(t, dir, "v1.36.3", []byte("the program kubelet"))
	noDirectory := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(noDirectory, nil, 0o600))
	store := NewStore(noDirectory)
	v := newVerifier(store, dir, wake.New(), time.Now, Sources{}.retryDelay)
	t.Cleanup(store.Close)
	v.ensure("m", id, trust{})
	v.wg.Wait()
	id = placed(t, dir, id)
	_, found, ok := store.lookup("m", id)
	if !ok || found.NotKept == nil || found.VerifiedAt.IsZero() {
		t.Fatalf("open: %v, %+v", ok, found)
	}
}

func TestABundleOfTheStoreIsHashedOnceAndNotWrittenAgain(t *testing.T) {
	dir := storeDir(t.TempDir())
	content := make([]byte, 8<<20)
	id := incoming(t, dir, "v1.36.3", content)
	hashed := func() (n int64) {
		v, store := verifierIn(t, dir, time.Now)
		hash := v.verify
		v.verify = func(ctx context.Context, b *bundle.Bundle, o verified.Options) (*verified.Result, error) {
			r, err := hash(ctx, b, o)
			if err == nil && !r.Remembered {
				n += r.Bytes
			}
			return r, err
		}
		at, found, err := dir.find(id.Digest)
		if err != nil || !found || at.Inode != id.Inode || at.Modified != id.Modified {
			t.Fatalf("the store has %+v, %v, where the fetch left %+v", at, err, id)
		}
		for _, name := range []string{"one", "other"} { // both name the same file
			v.ensure(name, at, trust{})
			v.wg.Wait()
			if at, _, err = dir.find(id.Digest); err != nil {
				t.Fatal(err)
			}
			if _, _, ok := store.lookup(name, at); !ok {
				t.Fatalf("%s is not open", name)
			}
		}
		return n
	}
	if n := hashed(); n < int64(len(content)) || n > id.Size {
		t.Errorf("of %d bytes %d were hashed, want each once", id.Size, n)
	}
	if n := hashed(); n != 0 {
		t.Errorf("after a restart %d bytes were hashed", n)
	}
	if left, err := filepath.Glob(filepath.Join(string(dir), "incoming", "*")); err != nil || len(left) != 0 {
		t.Errorf("incoming holds %v, %v", left, err)
	}
}

func TestOnlyTheBundleOfItsDigestIsOpened(t *testing.T) {
	dir := storeDir(t.TempDir())
	id := incoming(t, dir, "v1.36.3", []byte("the program kubelet"))
	id.Digest = digest.FromString("another")
	v, store := verifierIn(t, dir, time.Now)
	v.ensure("m", id, trust{})
	v.wg.Wait()
	if at := v.ensure("m", id, trust{}); reasonOf(at.err) != ReasonDigestMismatch {
		t.Errorf("got %+v", at)
	}
	if _, ok := store.Acquire("m"); ok {
		t.Error("it was handed out")
	}
}
