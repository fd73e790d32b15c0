package hosts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// buildRootfs makes the root file system of a recipe with debootstrap and writes it as a tar file, all or nothing.
func buildRootfs(ctx context.Context, r recipe, archive string, log func(string, ...any)) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("debootstrap needs root: run this once as root, or copy %s from a machine that has it", archive)
	}
	if !haveProgram("debootstrap") {
		if err := installPackages(ctx, log, "debootstrap"); err != nil {
			return err
		}
	}
	mirror, err := aptMirror(ctx, r.Suite)
	if err != nil {
		return err
	}
	env, err := aptEnvironment(ctx)
	if err != nil {
		return err
	}
	// Beside the archive and not in /tmp, which may be mounted nodev.
	root, err := os.MkdirTemp(filepath.Dir(archive), "rootfs-")
	if err != nil {
		return fmt.Errorf("make a directory to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := os.Chmod(root, 0o755); err != nil {
		return fmt.Errorf("open the directory to build in: %w", err)
	}

	log("building the %s root file system with debootstrap; this takes minutes, once", r.Suite)
	args := []string{"debootstrap", "--variant=minbase", "--include=" + strings.Join(r.Packages, ","), r.Suite, root}
	if mirror != "" {
		args = append(args, mirror)
	}
	if _, err := commandEnv(ctx, nil, env, args...); err != nil {
		return err
	}
	if err := customise(root, r); err != nil {
		return err
	}
	partial := archive + ".partial"
	defer func() { _ = os.Remove(partial) }()
	if _, err := command(ctx, nil, "tar", "--numeric-owner", "--xattrs", "-C", root, "-cf", partial, "."); err != nil {
		return err
	}
	if err := os.Rename(partial, archive); err != nil {
		return fmt.Errorf("put the finished archive in place: %w", err)
	}
	return nil
}

func customise(root string, r recipe) error {
	for _, pattern := range r.Unwanted {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return fmt.Errorf("clean up %s: %w", pattern, err)
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("clean up: %w", err)
			}
		}
	}
	for name, f := range r.Files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s into the image: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(f.Content), f.Mode); err != nil {
			return fmt.Errorf("write %s into the image: %w", name, err)
		}
	}
	for _, unit := range r.Masked {
		path := filepath.Join(root, "etc/systemd/system", unit)
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("mask %s in the image: %w", unit, err)
		}
		if err := os.Symlink("/dev/null", path); err != nil {
			return fmt.Errorf("mask %s in the image: %w", unit, err)
		}
	}
	target := filepath.Join(root, "etc/systemd/system/default.target")
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("set the default target of the image: %w", err)
	}
	if err := os.Symlink("/lib/systemd/system/multi-user.target", target); err != nil {
		return fmt.Errorf("set the default target of the image: %w", err)
	}
	return nil
}
