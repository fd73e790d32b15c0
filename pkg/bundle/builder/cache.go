package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cache is a directory of finished directories, each under the hash of everything that went into it.
type cache struct{ dir string }

// lockPoll is how often a lock held by another build is tried again; flock itself cannot be cancelled.
const lockPoll = 200 * time.Millisecond

func openCache(dir string) (cache, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return cache{}, fmt.Errorf("no place for the build cache, give one with --cache-dir: %w", err)
		}
		dir = filepath.Join(base, "kubewright", "build")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return cache{}, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "locks"), 0o755); err != nil {
		return cache{}, fmt.Errorf("build cache: %w", err)
	}
	return cache{dir: dir}, nil
}

// keyOf hashes a value's JSON form.
func keyOf(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// get returns the directory for kind and key, and makes it with fill if it does not exist. Builds that run at the same
// time wait for each other. fill works in a temporary directory, which gets its name when fill has succeeded.
func (c cache) get(ctx context.Context, kind, key string, fill func(tmp string) error) (dir string, hit bool, err error) {
	dir = filepath.Join(c.dir, kind, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, true, nil
	}
	unlock, err := c.lock(ctx, kind+"-"+key)
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Stat(dir); err == nil {
		return dir, true, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", false, err
	}
	// The lock is ours, so what stands under this name was left by a build that was killed.
	tmp := filepath.Join(filepath.Dir(dir), ".new-"+key)
	if err := os.RemoveAll(tmp); err != nil {
		return "", false, err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := fill(tmp); err != nil {
		return "", false, err
	}
	return dir, false, os.Rename(tmp, dir)
}

func (c cache) lock(ctx context.Context, name string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "locks", name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock build cache: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-tick.C:
		}
	}
}
