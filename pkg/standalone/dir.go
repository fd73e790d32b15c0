package standalone

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is a state directory: everything that has to survive a restart of standalone mode. Only its owner may read it, since the
// etcd inside holds credentials and private keys.
type Dir struct {
	path string
}

// DefaultDir is ~/.kubewright. It fails when the user has no home directory; name a directory then.
func DefaultDir() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory for the state: %w; name a directory with --state-dir", err)
	}
	return filepath.Join(home, ".kubewright"), nil
}

// OpenDir opens a state directory and makes it (mode 0700) if it is missing. It refuses a directory that others can
// read or write, or put another one in the place of.
func OpenDir(path string) (*Dir, error) {
	d, err := dirAt(path)
	if err != nil {
		return nil, err
	}
	if err := judge(d.path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w; name another with --state-dir", err)
	}
	if err := judge(d.path); err != nil {
		return nil, err
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, fmt.Errorf("look at the state directory: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("the state directory %s can be used by others (mode %04o) though it holds keys; run chmod 700 %s, or name another with --state-dir",
			d.path, info.Mode().Perm(), d.path)
	}
	for _, sub := range []string{"pki", "run", "logs", "programs", "clusters", "etcd"} {
		if err := os.MkdirAll(filepath.Join(d.path, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make a part of the state directory: %w", err)
		}
	}
	return d, nil
}

// ExistingDir opens a state directory that something was put into before. It returns ErrNoState when there is none, and makes
// nothing.
func ExistingDir(path string) (*Dir, error) {
	d, err := dirAt(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.recordPath()); err != nil {
		return nil, fmt.Errorf("%w in %s: run `kubewright up` first, or name the directory it used with --state-dir", ErrNoState, d.path)
	}
	return OpenDir(path)
}

func dirAt(path string) (*Dir, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the state directory %q: %w", path, err)
	}
	return &Dir{path: absolute}, nil
}

// Path of the directory, absolute.
func (d *Dir) Path() string { return d.path }

// AdminKubeconfig is where the administrator's kubeconfig of the embedded API server is while it runs. Its port and certificate
// are new after each start.
func (d *Dir) AdminKubeconfig() string { return filepath.Join(d.path, "admin.kubeconfig") }

// ClusterKubeconfig is where the kubeconfig of a cluster that was built is put.
func (d *Dir) ClusterKubeconfig(namespace, name string) string {
	return filepath.Join(d.path, "clusters", namespace+"-"+name+".kubeconfig")
}

// LogPath is where a program of this package, or a caller, writes its log.
func (d *Dir) LogPath(program string) string { return filepath.Join(d.path, "logs", program+".log") }

func (d *Dir) pkiPath(name string) string { return filepath.Join(d.path, "pki", name) }
func (d *Dir) runPath() string            { return filepath.Join(d.path, "run") }
func (d *Dir) etcdDataPath() string       { return filepath.Join(d.path, "etcd", "data") }
func (d *Dir) etcdKeepPath() string       { return filepath.Join(d.path, "etcd", "keep") }
func (d *Dir) lockPath() string           { return filepath.Join(d.path, "lock") }
func (d *Dir) recordPath() string         { return filepath.Join(d.path, "programs.json") }

// WriteFile puts content into a file that only its owner may read, in one step: nobody ever sees half of it,
// and it lasts over a loss of power.
func WriteFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename last over a loss of power.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write to %s: %w", path, err)
	}
	defer dir.Close() //nolint:errcheck // opened for reading
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write to %s: %w", path, err)
	}
	return nil
}
