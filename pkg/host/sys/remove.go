package sys

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MountedError says that a tree was not removed, or not all of it, because something is mounted in it.
type MountedError struct{ At string }

func (e *MountedError) Error() string {
	return fmt.Sprintf("%s is still mounted: unmount it and try again; nothing behind it was removed", e.At)
}

// maxRemoveErrors is how many errors of one tree are told; what keeps one file keeps thousands.
const maxRemoveErrors = 5

// maxRounds bounds how often a directory is emptied that somebody fills meanwhile.
const maxRounds = 10

// RemoveTree removes p and what is below it; a link is removed itself. It follows no link on the way down and enters no mount, also no
// bind mount of the same file system: the mount point and what is above it stay. The links in p's parents are followed; whether they
// may be is for the caller to know. What is not there is no error. Errors: *MountedError among others.
func (s *System) RemoveTree(p string) error {
	return s.inDir(path.Dir(p), func(r *remover, dir int, mount string) { r.remove(dir, path.Base(p), p, mount) })
}

// EmptyTree is RemoveTree for what is in the directory p, which stays, as does the lost+found of a file system. A link at p is
// followed.
func (s *System) EmptyTree(p string) error {
	return s.inDir(p, func(r *remover, dir int, mount string) {
		names, err := namesIn(dir)
		r.failed(p, err)
		for _, n := range names {
			if n != "lost+found" {
				r.remove(dir, n, path.Join(p, n), mount)
			}
		}
	})
}

func (s *System) inDir(p string, f func(r *remover, dir int, mount string)) error {
	dir, err := unix.Open(s.Path(p), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if Missing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove what is in %s: %w", p, err)
	}
	defer func() { _ = unix.Close(dir) }()
	mount, err := mountID(dir)
	if err != nil {
		return fmt.Errorf("remove what is in %s: %w", p, err)
	}
	r := &remover{}
	f(r, dir, mount)
	if r.more > 0 {
		r.errs = append(r.errs, fmt.Errorf("and %d more", r.more))
	}
	return errors.Join(r.errs...)
}

type remover struct {
	errs []error
	more int
}

func (r *remover) failed(p string, err error) {
	switch {
	case err == nil:
	case len(r.errs) == maxRemoveErrors:
		r.more++
	default:
		if mounted := new(MountedError); !errors.As(err, &mounted) {
			err = fmt.Errorf("remove %s: %w", p, err)
		}
		r.errs = append(r.errs, err)
	}
}

// remove takes away name in the open directory dir, which lies on mount; p is its path for errors.
func (r *remover) remove(dir int, name, p, mount string) {
	err := unix.Unlinkat(dir, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return
	case errors.Is(err, unix.EBUSY):
		r.failed(p, &MountedError{At: p})
		return
	}
	// Names are given to the kernel one by one, so no parent can be exchanged for a link meanwhile.
	below, openErr := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if openErr != nil {
		if errors.Is(openErr, unix.ENOTDIR) || errors.Is(openErr, unix.ELOOP) {
			openErr = err
		}
		r.failed(p, openErr)
		return
	}
	defer func() { _ = unix.Close(below) }()
	at, err := mountID(below)
	if err == nil && at != mount {
		err = &MountedError{At: p}
	}
	if err != nil {
		r.failed(p, err)
		return
	}
	r.removeDir(dir, below, name, p, mount)
}

func (r *remover) removeDir(dir, below int, name, p, mount string) {
	for round := 0; ; round++ {
		before := len(r.errs) + r.more
		names, err := namesIn(below)
		r.failed(p, err)
		for _, n := range names {
			r.remove(below, n, path.Join(p, n), mount)
		}
		if len(r.errs)+r.more > before {
			return
		}
		switch err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); {
		case errors.Is(err, unix.EBUSY):
			r.failed(p, &MountedError{At: p})
			return
		case errors.Is(err, unix.ENOTEMPTY) && round < maxRounds:
			// Something was made in it meanwhile.
		case errors.Is(err, unix.ENOENT):
			return
		default:
			r.failed(p, err)
			return
		}
	}
}

func namesIn(dir int) ([]string, error) {
	// A descriptor of its own: the one at hand stays open, and its position where it is.
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer func() { _ = f.Close() }()
	return f.Readdirnames(-1)
}

// mountID tells mounts apart, also two of the same file system, on every kernel since 3.15 (statx has it since 5.8).
func mountID(fd int) (string, error) {
	f, err := os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("find out which mount it is on: %w", err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(io.LimitReader(f, 4096))
	for sc.Scan() {
		if id, ok := strings.CutPrefix(sc.Text(), "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.Join(errors.New("find out which mount it is on: the kernel does not say"), sc.Err())
}
