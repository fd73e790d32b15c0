package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// judge refuses a state directory that belongs to somebody else, or that somebody else could put another one in the place of: programs are run
// out of it, and keys kept in it. Both the path that was given and the one that its links lead to are looked at, from what exists of them.
func judge(path string) error {
	existing := path
	for _, err := os.Lstat(existing); errors.Is(err, fs.ErrNotExist); _, err = os.Lstat(existing) {
		existing = filepath.Dir(existing)
	}
	real, err := filepath.EvalSymlinks(existing)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	for _, start := range []string{existing, real} {
		for at := start; ; at = filepath.Dir(at) {
			info, err := os.Lstat(at)
			if err != nil {
				return fmt.Errorf("look at the state directory: %w", err)
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("this system does not say who owns %s", at)
			}
			if why := unsafe(at == real && existing == path, info.Mode(), stat.Uid, stat.Gid, uint32(os.Geteuid()), uint32(os.Getegid())); why != "" {
				return fmt.Errorf("the state directory %s is not safe: %s %s, who could have programs run and read keys; change that, or name another with --state-dir", path, at, why)
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return nil
}

// unsafe says what is wrong with a state directory (own) or one above it, for a user with a group of his own; empty when nothing is. In a
// directory with the sticky bit, such as /tmp, others cannot replace what is not theirs. What a link's own mode says counts for nothing.
func unsafe(own bool, mode fs.FileMode, uid, gid, user, group uint32) string {
	switch {
	case uid != user && (own || uid != 0):
		return fmt.Sprintf("belongs to user %d", uid)
	case mode&fs.ModeSymlink != 0, mode&fs.ModeSticky != 0:
		return ""
	case mode.Perm()&0o002 != 0:
		return "can be written by every user"
	case mode.Perm()&0o020 != 0 && gid != group && gid != 0:
		return fmt.Sprintf("can be written by group %d", gid)
	}
	return ""
}
