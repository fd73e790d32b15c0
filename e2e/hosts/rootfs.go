package hosts

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// buildBase makes the unchanged root file system of a recipe with debootstrap and writes it as a tar file, all or nothing.
func buildBase(ctx context.Context, b base, archive string, log func(string, ...any)) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("debootstrap needs root: run this once as root, or copy %s from a machine that has it", archive)
	}
	if !haveProgram("debootstrap") {
		if err := installPackages(ctx, log, "debootstrap"); err != nil {
			return err
		}
	}
	mirror, err := aptMirror(ctx, b.Suite)
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

	log("building the %s root file system with debootstrap; this takes minutes, once", b.Suite)
	// In namespaces of its own: when this process is interrupted, what debootstrap started and mounted goes away with them,
	// and removing the directory cannot reach through a forgotten mount.
	args := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child",
		"debootstrap", "--variant=minbase", "--include=" + strings.Join(b.Packages, ","), b.Suite, root}
	if mirror != "" {
		args = append(args, mirror)
	}
	if _, err := commandEnv(ctx, nil, env, args...); err != nil {
		return err
	}
	partial := archive + ".partial"
	defer func() { _ = os.Remove(partial) }()
	// Downloaded packages and package lists are a third of it, and never needed again.
	if _, err := command(ctx, nil, "tar", "--numeric-owner", "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*",
		"-C", root, "-cf", partial, "."); err != nil {
		return err
	}
	if err := os.Rename(partial, archive); err != nil {
		return fmt.Errorf("put the finished archive in place: %w", err)
	}
	return nil
}

// customise copies the tar stream of a root file system, without what the recipe leaves out or replaces, and adds the
// recipe's own files.
func customise(in io.Reader, out io.Writer, r recipe, now time.Time) error {
	own := r.ownFiles()
	reader, writer := tar.NewReader(in), tar.NewWriter(out)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the root file system: %w", err)
		}
		name := path.Clean("/" + header.Name)
		if _, replaced := own[name]; replaced || matches(r.Unwanted, name) {
			continue
		}
		if err := writer.WriteHeader(header); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		if _, err := io.Copy(writer, reader); err != nil { //nolint:gosec // nothing is decompressed here
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		f := own[name]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "." + name, Mode: f.Mode, Size: int64(len(f.Content)), ModTime: now}
		if f.Link != "" {
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
		}
		if err := writer.WriteHeader(header); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		if _, err := io.WriteString(writer, f.Content); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("finish the root file system: %w", err)
	}
	return nil
}

// matches says whether name or a directory above it matches one of the patterns.
func matches(patterns []string, name string) bool {
	for ; name != "/"; name = path.Dir(name) {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}
