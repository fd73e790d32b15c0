package builder

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/evidence"
)

// evidence is what is attached to the bundle: its bill of materials and its provenance.
func (b *build) evidence(ctx context.Context, cfg *bundle.Config, targets []*target) ([]bundle.Attachment, error) {
	root, err := bundle.DigestOf(cfg)
	if err != nil {
		return nil, err
	}
	var programs []evidence.Program
	compilers := map[string]any{}
	for _, t := range targets {
		for _, name := range sortedKeys(t.programs) {
			p := t.programs[name]
			info, err := buildinfo.ReadFile(p.path)
			if err != nil {
				return nil, fmt.Errorf("bill of materials: program %s for %s: %w", name, t.platform, err)
			}
			programs = append(programs, evidence.Program{
				Name: name, Version: p.component.Version, Platform: t.platform, Digest: p.digest, Info: info,
			})
			if p.component.Cgo && compilers[t.platform] == nil {
				if compilers[t.platform], err = compilerVersion(ctx, t.cc()); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, t := range targets {
		for _, f := range t.taken {
			// Projects publish other programs than Go's too; of those, the release they are from says all there is to know.
			if info, err := buildinfo.ReadFile(f.path); err == nil {
				programs = append(programs, evidence.Program{Name: f.spec.Name, Version: f.from.Version, Platform: t.platform, Digest: f.digest, Info: info})
			}
		}
	}
	sbom, err := evidence.SBOM(cfg, root, programs)
	if err != nil {
		return nil, err
	}
	inputs, err := b.inputs()
	if err != nil {
		return nil, err
	}
	internal := map[string]any{"go": b.def.Go, "cCompilers": compilers}
	if len(b.signatures) > 0 {
		internal["checksumSignatures"] = b.signatures
	}
	provenance, err := evidence.Provenance(cfg, root, evidence.Build{
		Type: evidence.BuildType,
		Parameters: map[string]any{"definition": filepath.Base(b.o.Definition), "kubernetesVersion": b.def.KubernetesVersion,
			"platforms": b.def.Platforms, "sourceDateEpoch": b.created.Unix()},
		Internal: internal,
		Inputs:   inputs,
	})
	if err != nil {
		return nil, err
	}
	return []bundle.Attachment{{Type: bundle.TypeSBOM, Content: sbom}, {Type: bundle.TypeProvenance, Content: provenance}}, nil
}

// inputs are the files that decide what is built, by their path beside the definition.
func (b *build) inputs() (map[string]digest.Digest, error) {
	files := []string{filepath.Base(b.o.Definition)}
	files = append(files, b.def.Debian...)
	for _, f := range b.def.Files {
		files = append(files, f.Path)
	}
	for i := range b.def.Downloads {
		if keys := b.def.Downloads[i].ChecksumKeys; keys != "" {
			files = append(files, keys)
		}
	}
	for _, c := range b.def.Components {
		files = append(files, filepath.Join(c.Module, "go.mod"), filepath.Join(c.Module, "go.sum"))
	}
	out := map[string]digest.Digest{}
	for _, name := range files {
		d, _, err := hashFile(filepath.Join(b.def.dir, name))
		if errors.Is(err, fs.ErrNotExist) && filepath.Base(name) == "go.sum" {
			continue // a module that needs no other has none
		}
		if err != nil {
			return nil, fmt.Errorf("provenance: %w", err)
		}
		out[filepath.ToSlash(name)] = d
	}
	if len(b.lock.Downloads)+len(b.lock.Images) > 0 {
		d, _, err := hashFile(b.o.LockFile)
		if err != nil {
			return nil, fmt.Errorf("provenance: %w", err)
		}
		out[filepath.Base(b.o.LockFile)] = d
	}
	return out, nil
}
