// Package crds carries the CustomResourceDefinitions generated from api/v1alpha1, so that a program can install them into an API
// server without any file beside it. It knows nothing of what the kinds mean; the YAML next to this file is written by
// `make generate` and never by hand.
package crds

import (
	"embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed *.yaml
var files embed.FS

// All returns every CustomResourceDefinition of kubewright.io, sorted by name. Each call returns fresh objects, so callers may
// change them. An error means that the program was built from broken generated files: run `make generate` and build again.
func All() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list embedded CRDs: %w", err)
	}
	all := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(entries))
	for _, entry := range entries {
		raw, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read embedded CRD %s: %w", entry.Name(), err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(raw, crd); err != nil {
			return nil, fmt.Errorf("parse embedded CRD %s (run `make generate` and build again): %w", entry.Name(), err)
		}
		all = append(all, crd)
	}
	return all, nil
}
