package sys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile replaces path by content in one step: a reader sees the old or the new file. It does not wait for the disk.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	return writeFile(path, content, mode, false)
}

// WriteFileSync is WriteFile for what must survive a power cut: it returns when file and name are on the disk.
func WriteFileSync(path string, content []byte, mode os.FileMode) error {
	return writeFile(path, content, mode, true)
}

func writeFile(path string, content []byte, mode os.FileMode, sync bool) (err error) {
	tmp, err := TempFile(path, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if sync {
		if err = tmp.Sync(); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	if err = tmp.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if sync {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

// TempPrefix starts the names of unfinished files, so that leftovers of a crash can be told and removed.
const TempPrefix = ".kubewright-"

// TempFile makes an empty file next to path with the given mode. The caller renames or removes it.
func TempFile(path string, mode os.FileMode) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), TempPrefix+"*.tmp")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	// CreateTemp makes 0600; Chmod is not subject to the umask.
	if err := f.Chmod(mode); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// RenameSync gives a file that is on the disk its name, and returns when the name is there, too.
func RenameSync(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// Exists says that something is at path (a dangling link counts).
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Executable says that path is a regular file that may be executed.
func Executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// EmptyDir says that path is a directory with nothing in it, but for the lost+found of a fresh file system.
func EmptyDir(path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return false
		}
	}
	return true
}

// FileDigest is the digest of a file's bytes, as "sha256:<hex>".
func FileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	// Without a ReaderFrom in between, the buffer is what decides how much is read at once.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// Missing says that err means the file is not there (or a parent is no directory).
func Missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// NoSpace says that err means a full file system.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
