package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// base is a bundle file that a delta, or a base that is a delta itself, needs.
type base struct {
	path   string
	digest digest.Digest
}

// open opens the bundle, together with its bases when it is a delta.
func (s *source) open(w *wanted) (err error) {
	if w.path, err = filepath.Abs(s.bundle); err != nil {
		return badInput(fmt.Errorf("--bundle %q: %w", s.bundle, err), "")
	}
	paths := make([]string, len(s.bases))
	for i, path := range s.bases {
		if paths[i], err = filepath.Abs(path); err != nil {
			return badInput(fmt.Errorf("--base %q: %w", path, err), "")
		}
	}
	if w.bundle, err = bundle.OpenSet(w.path, paths...); err != nil {
		hint := ""
		if _, ok := errors.AsType[*bundle.MissingBaseError](err); ok {
			hint = "give the bundle the delta was made against with --base"
		}
		return badInput(fmt.Errorf("--bundle: %w", err), hint)
	}
	if err := w.openBases(paths); err != nil {
		return badInput(errors.Join(err, w.bundle.Close()), "")
	}
	return nil
}

// openBases learns what the bases are. The controllers know the base of a delta by its digest, so it must be among them.
func (w *wanted) openBases(paths []string) error {
	if len(paths) > 0 && w.bundle.Base() == nil {
		return fmt.Errorf("--base: %s is no delta, it is complete by itself", w.path)
	}
	needed := []bundle.Base{}
	if w.bundle.Base() != nil {
		needed = append(needed, *w.bundle.Base())
	}
	for i, path := range paths {
		others := slices.Delete(slices.Clone(paths), i, i+1)
		b, err := bundle.OpenSet(path, others...)
		if err != nil {
			return fmt.Errorf("--base: %w", err)
		}
		w.bases = append(w.bases, base{path: path, digest: b.Digest()})
		if b.Base() != nil {
			needed = append(needed, *b.Base())
		}
		if err := b.Close(); err != nil {
			return fmt.Errorf("--base: %w", err)
		}
	}
	for _, one := range needed {
		if !slices.ContainsFunc(w.bases, func(b base) bool { return b.digest == one.Digest }) {
			return fmt.Errorf("--base: none of these files is the bundle %q with digest %s, which a delta was made against; "+
				"with other files that have the same content, make a complete bundle with `kubewright bundle apply` first", one.Name, one.Digest)
		}
	}
	return nil
}

// makeBaseManifests makes the OfflineManifests of the bases.
func (w *wanted) makeBaseManifests() error {
	for _, b := range w.bases {
		if err := w.addExtra(manifestOf(w.Cluster.Spec.OfflineManifestRef.Name, b.path, b.digest)); err != nil {
			return err
		}
	}
	return nil
}
