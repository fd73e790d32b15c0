package kubewright

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// shared are the parts of a state directory that depend on the bundle alone: the programs taken out of it, and the note that it was
// verified. Making them again for each case would take most of the time and show nothing.
func shared() []string { return []string{"programs", "verified"} }

// ShareState makes the parts of one state directory that depend on the bundle alone appear in another that lacks them, as hard links.
func ShareState(from, to string) error {
	for _, part := range shared() {
		root := filepath.Join(from, part)
		if _, err := os.Stat(root); err != nil {
			continue
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			below, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			if entry.IsDir() {
				return os.MkdirAll(filepath.Join(to, below), 0o700)
			}
			if err := os.Link(path, filepath.Join(to, below)); !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
