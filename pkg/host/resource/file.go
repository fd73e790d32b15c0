package resource

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// maxDiffFile is the largest file compared line by line.
const maxDiffFile = 64 << 10

func fileMode(f *api.File) fs.FileMode {
	if f.Mode == 0 {
		return 0o644
	}
	return fs.FileMode(f.Mode)
}

func checkFile(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	f := r.File
	fi, err := os.Lstat(t.Sys.Path(f.Path))
	switch {
	case sys.Missing(err):
		return needed(f.Path + " does not exist")
	case err != nil:
		return finding{}, err
	case !fi.Mode().IsRegular():
		return needed(f.Path + " is not a regular file")
	case f.Keep:
		return done()
	}
	var same finding
	switch {
	case f.Blob != "":
		same, err = t.sameBlob(f, fi)
	case f.Seal != nil:
		same, err = t.sameSealed(f, fi)
	default:
		same, err = t.sameContent(f, fi)
	}
	if err != nil || same.state != api.Done {
		return same, err
	}
	if fi.Mode().Perm() != fileMode(f) {
		return needed(fmt.Sprintf("%s has mode %#o instead of %#o", f.Path, fi.Mode().Perm(), fileMode(f)))
	}
	if !t.ownedByRoot(fi) {
		return needed(f.Path + " does not belong to root")
	}
	return done()
}

func (t *Task) sameBlob(f *api.File, fi fs.FileInfo) (finding, error) {
	if f.Size > 0 && fi.Size() != f.Size {
		return needed(fmt.Sprintf("%s has %d bytes instead of %d", f.Path, fi.Size(), f.Size))
	}
	d, err := t.Stamps.Digest(f.Path)
	if err != nil {
		return finding{}, err
	}
	if d != f.Blob {
		return needed(fmt.Sprintf("%s is %s instead of %s", f.Path, d, f.Blob))
	}
	return done()
}

// sameSealed compares a file with content that was not sent.
func (t *Task) sameSealed(f *api.File, fi fs.FileInfo) (finding, error) {
	if fi.Size() == f.Seal.Size {
		data, err := os.ReadFile(t.Sys.Path(f.Path))
		if err != nil {
			return finding{}, err
		}
		if f.Seal.Opens(data) {
			return done()
		}
	}
	return needed(otherContent(f))
}

// otherContent says that a file differs. Nothing else is said of a secret one, no digest either: it would help who guesses.
func otherContent(f *api.File) string {
	if f.Secret {
		return f.Path + " has other content (secret)"
	}
	return f.Path + " has other content"
}

func (t *Task) sameContent(f *api.File, fi fs.FileInfo) (finding, error) {
	differs := finding{state: api.Needed, why: otherContent(f)}
	showDiff := !f.Secret && len(f.Content) <= maxDiffFile && fi.Size() <= maxDiffFile
	if fi.Size() != int64(len(f.Content)) && !showDiff {
		return differs, nil
	}
	data, err := os.ReadFile(t.Sys.Path(f.Path))
	if err != nil {
		return finding{}, err
	}
	if bytes.Equal(data, f.Content) {
		return done()
	}
	if showDiff {
		diff := strings.Split(unifiedDiff(f.Path, string(data), string(f.Content)), "\n")
		differs.diff = strings.Join(redact.New().Lines(diff), "\n")
	}
	return differs, nil
}

func applyFile(_ context.Context, t *Task, r *api.Resource) error {
	f := r.File
	if f.Seal != nil {
		return invalid("%s is sealed: it can be compared and not written", f.Path)
	}
	if fi, err := os.Lstat(t.Sys.Path(f.Path)); err == nil && fi.IsDir() {
		return invalid("%s is a directory: it is in the way of a file", f.Path)
	}
	if err := t.parents(f.Path); err != nil {
		return err
	}
	if err := t.recordPath(f.Path); err != nil {
		return err
	}
	removeLeftovers(filepath.Dir(t.Sys.Path(f.Path)))
	if f.Blob == "" {
		return sys.WriteFile(t.Sys.Path(f.Path), f.Content, fileMode(f))
	}
	return t.placeBlob(f)
}

// placeBlob puts a blob at the file's path: the staged copy is moved when it can be (no byte is read or written twice),
// any other copy is copied. Every byte has been hashed since the boot, or is hashed now.
func (t *Task) placeBlob(f *api.File) error {
	h, err := api.DigestHex(f.Blob)
	if err != nil {
		return err
	}
	staged := stagedPath(h)
	if sys.Exists(t.Sys.Path(staged)) {
		d, err := t.Stamps.Digest(staged)
		if err != nil {
			return err
		}
		if d != f.Blob {
			t.Stamps.Drop(staged)
			return t.damaged(staged, f.Blob, d)
		}
		moved, err := t.moveStaged(staged, f)
		if err != nil || moved {
			return err
		}
		if err := t.copyBlob(staged, f); err != nil {
			return err
		}
		// From now on the file itself is the copy that others find.
		t.Stamps.Drop(staged)
		return os.Remove(t.Sys.Path(staged))
	}
	if p, ok := t.Stamps.Find(f.Blob); ok {
		return t.copyBlob(p, f)
	}
	if p := contentPath(h); sys.Exists(t.Sys.Path(p)) {
		return t.copyBlob(p, f)
	}
	return &api.ResourceError{Reason: api.ReasonBlobMissing, Retryable: true, Digest: f.Blob, Message: fmt.Sprintf("blob %s for %s is not on the host: apply the Blob first", f.Blob, f.Path)}
}

// damaged removes a staged blob that is not what its name says, so that the next attempt fetches it again.
func (t *Task) damaged(p, want, got string) error {
	err := os.Remove(t.Sys.Path(p))
	return errors.Join(&api.ResourceError{
		Reason: api.ReasonDigestMismatch, Retryable: true, Digest: want,
		Message: fmt.Sprintf("the staged copy of %s has digest %s and was deleted: fetch it again", want, got),
	}, err)
}

func (t *Task) moveStaged(staged string, f *api.File) (bool, error) {
	if err := os.Chmod(t.Sys.Path(staged), fileMode(f)); err != nil {
		return false, err
	}
	err := os.Rename(t.Sys.Path(staged), t.Sys.Path(f.Path))
	if errors.Is(err, syscall.EXDEV) {
		// The mode change moved the stamp; the bytes are the same.
		return false, t.Stamps.Set(staged, f.Blob)
	}
	if err != nil {
		return false, err
	}
	t.Stamps.Drop(staged)
	return true, t.Stamps.Set(f.Path, f.Blob)
}

func (t *Task) copyBlob(from string, f *api.File) (err error) {
	in, err := os.Open(t.Sys.Path(from))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	dst := t.Sys.Path(f.Path)
	out, err := sys.TempFile(dst, fileMode(f))
	if err != nil {
		return err
	}
	defer func() {
		_ = out.Close()
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	hash := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(out, hash), struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != f.Blob {
		if strings.HasPrefix(from, stagingDir) {
			return t.damaged(from, f.Blob, got)
		}
		return &api.ResourceError{Reason: api.ReasonDigestMismatch, Retryable: true, Digest: f.Blob, Message: fmt.Sprintf("the copy of %s at %s has digest %s", f.Blob, from, got)}
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), dst); err != nil {
		return err
	}
	return t.Stamps.Set(f.Path, f.Blob)
}

// removeLeftovers deletes unfinished files that a killed helper left in a directory of ours.
func removeLeftovers(dir string) {
	leftovers, _ := filepath.Glob(filepath.Join(dir, sys.TempPrefix+"*.tmp"))
	for _, p := range leftovers {
		_ = os.Remove(p)
	}
}
