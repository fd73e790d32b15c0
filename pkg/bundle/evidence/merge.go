package evidence

import (
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// ForMerge makes what is attached to a bundle that is merged from inputs: provenance that names them, and the bill of materials of all,
// unless one of them has none, because half a list is taken for a whole one.
func ForMerge(inputs []*bundle.Bundle) func(*bundle.Config, digest.Digest) ([]bundle.Attachment, error) {
	return func(cfg *bundle.Config, root digest.Digest) ([]bundle.Attachment, error) {
		b := Build{Type: MergeType, Parameters: map[string]any{"name": cfg.Name}, Inputs: map[string]digest.Digest{}}
		var boms [][]byte
		complete := true
		for _, in := range inputs {
			b.Inputs["bundle "+in.Config().Name+" "+in.Digest().String()] = in.Digest()
			have := len(boms)
			for _, r := range in.Referrers() {
				if r.Type != bundle.TypeSBOM {
					continue
				}
				raw, err := in.Attached(r)
				if err != nil {
					return nil, err
				}
				boms = append(boms, raw)
			}
			complete = complete && len(boms) > have
		}
		provenance, err := Provenance(cfg, root, b)
		if err != nil {
			return nil, err
		}
		out := []bundle.Attachment{{Type: bundle.TypeProvenance, Content: provenance}}
		if !complete {
			return out, nil
		}
		sbom, err := MergeSBOM(cfg, root, boms)
		if err != nil {
			return nil, err
		}
		return append(out, bundle.Attachment{Type: bundle.TypeSBOM, Content: sbom}), nil
	}
}
