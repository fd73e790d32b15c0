package standalone

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestADirectoryThatOthersCouldReplaceIsRefused(t *testing.T) {
	const me, mine, other = 1000, 1000, 1001
	for name, test := range map[string]struct {
		own      bool
		mode     fs.FileMode
		uid, gid uint32
		says     string
	}{
		"it is ours":                               {own: true, mode: 0o700, uid: me, gid: mine},
		"it belongs to somebody else":              {own: true, mode: 0o700, uid: other, gid: other, says: "belongs to user 1001"},
		"it belongs to root, and we are not":       {own: true, mode: 0o755, uid: 0, gid: 0, says: "belongs to user 0"},
		"a parent belongs to root":                 {mode: 0o755, uid: 0, gid: 0},
		"a parent belongs to somebody else":        {mode: 0o755, uid: other, gid: other, says: "belongs to user 1001"},
		"a parent that everybody may write":        {mode: 0o777, uid: 0, gid: 0, says: "every user"},
		"a parent like /tmp":                       {mode: fs.ModeSticky | 0o777, uid: 0, gid: 0},
		"a parent that another group may write":    {mode: 0o775, uid: me, gid: other, says: "group 1001"},
		"a parent that the user's group may write": {mode: 0o775, uid: me, gid: mine},
		"a link of somebody else":                  {mode: fs.ModeSymlink | 0o777, uid: other, gid: other, says: "belongs to user 1001"},
		"a link of ours":                           {mode: fs.ModeSymlink | 0o777, uid: me, gid: mine},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unsafe(test.own, test.mode, test.uid, test.gid, me, mine); (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAStateDirectoryBelowOneThatEverybodyMayWriteIsRefused(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(open, "state")); err == nil || !strings.Contains(err.Error(), open+" can be written by every user") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(filepath.Join(open, "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	if err := os.Mkdir(filepath.Join(open, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(open, "state"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(link); err == nil {
		t.Error("a link to it is taken")
	}
}

func TestAProgramThatWasChangedIsNotRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd")
	if err := os.WriteFile(path, []byte("etcd"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Programs{Etcd: path, APIServer: path, EtcdDigest: digest.FromString("etcd").String(), APIServerDigest: digest.FromString("etcd").String()}
	if err := p.verify(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, ok := errors.AsType[*ProgramChangedError](p.verify()); !ok || changed.Path != path {
		t.Errorf("got %v", changed)
	}
}
