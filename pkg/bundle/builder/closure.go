package builder

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// closure collects files of a directory tree together with the symbolic links on the way to them and the shared libraries
// they need. Names are relative to the root.
type closure struct {
	root string
	// triple is Debian's name for the platform in library paths.
	triple string
	found  map[string]bool
}

// addPattern adds every file that matches a shell pattern; none is an error.
func (c *closure) addPattern(pattern string) error {
	matches, err := filepath.Glob(filepath.Join(c.root, pattern))
	if err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	if len(matches) == 0 {
		return fmt.Errorf("no file of the Debian packages matches %q", pattern)
	}
	for _, m := range matches {
		rel, err := filepath.Rel(c.root, m)
		if err != nil {
			return err
		}
		if err := c.add(rel); err != nil {
			return err
		}
	}
	return nil
}

// add adds a file and what it needs.
func (c *closure) add(name string) error {
	if c.found[name] {
		return nil
	}
	st, err := os.Lstat(filepath.Join(c.root, name))
	if err != nil {
		return err
	}
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		c.found[name] = true
		target, err := c.readlink(name)
		if err != nil {
			return err
		}
		return c.add(target)
	case st.Mode().IsRegular():
		c.found[name] = true
		return c.addNeeded(name)
	default:
		return fmt.Errorf("%s is neither a file nor a link", name)
	}
}

// readlink is where a symbolic link leads, relative to the root; an absolute one means the root of the packages, not of this machine.
func (c *closure) readlink(name string) (string, error) {
	target, err := os.Readlink(filepath.Join(c.root, name))
	if err != nil {
		return "", err
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
	}
	return strings.TrimPrefix(path.Clean("/"+target), "/"), nil
}

// maxLinks bounds a chain of symbolic links, as the kernel does (MAXSYMLINKS).
const maxLinks = 40

// resolve follows symbolic links to a file.
func (c *closure) resolve(name string) (string, error) {
	for range maxLinks {
		st, err := os.Lstat(filepath.Join(c.root, name))
		if err != nil {
			return "", err
		}
		if st.Mode()&os.ModeSymlink == 0 {
			return name, nil
		}
		if name, err = c.readlink(name); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: too many symbolic links", name)
}

// addNeeded adds the loader and the libraries an ELF file asks for; other files need nothing.
func (c *closure) addNeeded(name string) error {
	f, err := elf.Open(filepath.Join(c.root, name))
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		raw, err := io.ReadAll(p.Open())
		if err != nil {
			return err
		}
		if err := c.add(strings.Trim(string(raw), "/\x00")); err != nil {
			return fmt.Errorf("loader of %s: %w", name, err)
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("libraries of %s: %w", name, err)
	}
	for _, lib := range libs {
		if err := c.addLibrary(lib); err != nil {
			return fmt.Errorf("library of %s: %w", name, err)
		}
	}
	return nil
}

// addLibrary finds a library where the loader would.
func (c *closure) addLibrary(lib string) error {
	for _, dir := range []string{"lib/" + c.triple, "usr/lib/" + c.triple, "lib", "usr/lib"} {
		name := path.Join(dir, lib)
		if _, err := os.Lstat(filepath.Join(c.root, name)); err == nil {
			return c.add(name)
		}
	}
	return fmt.Errorf("%s is in none of the packages; add the package that has it to the file with the Debian packages", lib)
}
