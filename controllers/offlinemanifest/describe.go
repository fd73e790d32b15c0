package offlinemanifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// releasesOf is what a bundle holds, in the words of the API.
func releasesOf(config *bundle.Config) []v1alpha1.OfflineRelease {
	out := make([]v1alpha1.OfflineRelease, 0, len(config.Releases))
	for i := range config.Releases {
		release := &config.Releases[i]
		images := make([]string, 0, len(release.Images))
		for k := range release.Images {
			images = append(images, release.Images[k].Name)
		}
		slices.Sort(images)
		out = append(out, v1alpha1.OfflineRelease{
			KubernetesVersion: release.KubernetesVersion,
			Platforms:         slices.Clone(release.Platforms),
			Components:        componentsOf(release),
			Images:            slices.Compact(images),
		})
	}
	return out
}

// componentsOf names what runs on hosts and in the cluster, with versions. Packages that only make up a base layer are left out:
// the bundle lists them.
func componentsOf(release *bundle.Release) map[string]string {
	out := map[string]string{}
	for i := range release.Files {
		out[release.Files[i].Component] = release.Files[i].Version
	}
	for i := range release.Images {
		out[release.Images[i].Component] = release.Images[i].Version
	}
	return out
}

func versionsOf(releases []v1alpha1.OfflineRelease) []string {
	out := make([]string, 0, len(releases))
	for _, release := range releases {
		out = append(out, release.KubernetesVersion)
	}
	return out
}

// mebibytes prints a size the way people compare it.
func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

// shorten lists at most five names.
func shorten(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// digests lists at most twenty digests, in a form that can be searched for.
func digests(all []digest.Digest) string {
	const most = 20
	names := make([]string, 0, most)
	for _, d := range all[:min(len(all), most)] {
		names = append(names, d.String())
	}
	text := strings.Join(names, ", ")
	if len(all) > most {
		text += fmt.Sprintf(" and %d more", len(all)-most)
	}
	return text
}
