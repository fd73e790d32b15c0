package evidence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Types in provenance statements (https://slsa.dev/spec/v1.1/provenance).
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	// BuildType says that a bundle was built from a definition, MergeType that it was merged from others.
	BuildType = "https://kubewright.io/bundle-build/v1"
	MergeType = "https://kubewright.io/bundle-merge/v1"
	builderID = "https://kubewright.io/bundle-builder/v1"
)

// Build is how a bundle came about.
type Build struct {
	// Type is BuildType or MergeType.
	Type string
	// Parameters are what the user asked for, by name.
	Parameters map[string]any
	// Internal are what the builder decided, by name: toolchains and the like.
	Internal map[string]any
	// Inputs are files that went in, by name.
	Inputs map[string]digest.Digest
}

// resource is an in-toto resource descriptor.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type provenance struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     struct {
		BuildDefinition struct {
			BuildType            string         `json:"buildType"`
			ExternalParameters   map[string]any `json:"externalParameters"`
			InternalParameters   map[string]any `json:"internalParameters,omitempty"`
			ResolvedDependencies []resource     `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// Provenance is the statement of how the bundle that cfg describes and root is the digest of came about. It says nothing of when and
// where, so that equal builds give equal statements; who vouches for it is the signer of the bundle.
func Provenance(cfg *bundle.Config, root digest.Digest, b Build) ([]byte, error) {
	p := provenance{Type: statementType, PredicateType: predicateType,
		Subject: []resource{{Name: cfg.Name, Digest: map[string]string{"sha256": root.Encoded()}}}}
	def := &p.Predicate.BuildDefinition
	def.BuildType, def.ExternalParameters, def.InternalParameters = b.Type, b.Parameters, b.Internal
	p.Predicate.RunDetails.Builder.ID = builderID
	for name, d := range b.Inputs {
		def.ResolvedDependencies = append(def.ResolvedDependencies, resource{Name: name, Digest: map[string]string{"sha256": d.Encoded()}})
	}
	if b.Type == BuildType {
		for i := range cfg.Releases {
			def.ResolvedDependencies = append(def.ResolvedDependencies, sources(&cfg.Releases[i])...)
		}
	}
	slices.SortStableFunc(def.ResolvedDependencies, func(a, b resource) int {
		return cmp.Or(cmp.Compare(a.URI, b.URI), cmp.Compare(a.Name, b.Name))
	})
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode provenance: %w", err)
	}
	return raw, nil
}

// sources are the modules, packages, files and images a release was made of.
func sources(r *bundle.Release) []resource {
	var out []resource
	for _, c := range r.Components {
		switch c.Type {
		case "Go":
			res := resource{URI: packageURL("golang/"+c.Source, "v"+strings.TrimPrefix(c.Version, "v"), "")}
			if sum, err := dirHash(c.Checksum); err == nil {
				res.Digest = map[string]string{"dirHash1": sum}
			}
			out = append(out, res)
		case "Release":
			out = append(out, resource{Name: c.Name + " " + c.Version, URI: c.Source, Digest: map[string]string{"sha256": strings.TrimPrefix(c.Checksum, "sha256:")}})
		case "Image":
			out = append(out, resource{Name: c.Name + " " + c.Version, URI: imageURL(c), Digest: map[string]string{"sha256": strings.TrimPrefix(c.Checksum, "sha256:")}})
		case "Debian":
			out = append(out, resource{URI: packageURL("deb/debian/"+c.Name, c.Version, "arch="+architecture(c, r.Platforms)),
				Digest: map[string]string{"sha256": strings.TrimPrefix(c.Checksum, "sha256:")}})
		}
	}
	return out
}
