package upstream

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// Settings are what a site says of where it fetches from. They decide nothing of what is fetched, so they do not belong to a definition.
type Settings struct {
	// Mirrors say where things are to be had instead.
	Mirrors Mirrors `json:"mirrors,omitempty"`
	// CAFile holds certificate authorities as PEM, trusted besides those of the machine.
	CAFile string `json:"caFile,omitempty"`
	// DockerConfig is a file with credentials in the form of Docker's config.json, for registries and other hosts.
	DockerConfig string `json:"dockerConfig,omitempty"`
}

// LoadSettings reads a file of settings, strict YAML; paths in it are relative to it.
func LoadSettings(file string) (*Settings, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	s := &Settings{}
	if err := yaml.UnmarshalStrict(raw, s); err != nil {
		return nil, fmt.Errorf("settings %s: %w", file, err)
	}
	if err := s.Mirrors.Validate(); err != nil {
		return nil, fmt.Errorf("settings %s: %w", file, err)
	}
	for _, p := range []*string{&s.CAFile, &s.DockerConfig} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(file), *p)
		}
	}
	return s, nil
}
