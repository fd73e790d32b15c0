package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Backup keeps a copy of the file at path, which is about to be replaced, and returns the name to record.
func (l *Ledger) Backup(path string) (name string, err error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("back up %s before replacing it: %w", path, err)
	}
	if err := os.MkdirAll(l.sys.State(backupDir), 0o700); err != nil {
		return fail(err)
	}
	in, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = in.Close() }()
	out, err := sys.TempFile(l.sys.State(backupDir, "backup"), 0o600)
	if err != nil {
		return fail(err)
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	name = hex.EncodeToString(hash.Sum(nil))
	if err == nil {
		err = os.Rename(out.Name(), l.sys.State(backupDir, name))
	}
	if err != nil {
		_ = os.Remove(out.Name())
		return fail(err)
	}
	return name, nil
}

// Restore puts the backup called name back at path, in one step.
func (l *Ledger) Restore(name, path string, mode os.FileMode) error {
	data, err := os.ReadFile(l.sys.State(backupDir, filepath.Base(name)))
	if err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return sys.WriteFileSync(path, data, mode)
}
