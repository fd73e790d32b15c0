package offlinemanifest

import (
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Helpers lists the host helpers of all releases and platforms in the bundles of OfflineManifests, each once and in that order. Bundles
// that are not open in this process are passed over.
func (s *Store) Helpers(manifests ...string) []*bundle.File {
	var files []*bundle.File
	seen := map[digest.Digest]bool{}
	for _, name := range manifests {
		lease, open := s.Acquire(name)
		if !open {
			continue
		}
		for _, release := range lease.Bundle.Config().Releases {
			for _, f := range release.Files {
				if f.Kind == bundle.FileHelper && !seen[f.Digest] {
					seen[f.Digest] = true
					files = append(files, &f)
				}
			}
		}
		lease.Release()
	}
	return files
}
