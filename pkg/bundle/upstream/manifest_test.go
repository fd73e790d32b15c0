package upstream

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
)

func TestWhatARegistryAnswersIsReadWithDistrust(t *testing.T) {
	for name, c := range map[string]struct{ raw, mediaType, says string }{
		"an index that says what it is":           {`{"schemaVersion":2,"mediaType":"` + bundle.MediaTypeDockerIndex + `","manifests":[]}`, bundle.MediaTypeDockerIndex, ""},
		"an index that does not":                  {`{"schemaVersion":2,"manifests":[]}`, ocispec.MediaTypeImageIndex, ""},
		"a manifest that does not":                {`{"schemaVersion":2,"layers":[]}`, ocispec.MediaTypeImageManifest, ""},
		"what is no JSON":                         {`<html>`, "", "neither index nor manifest"},
		"a manifest of schema 1":                  {`{"schemaVersion":1,"fsLayers":[]}`, "", "schema 1"},
		"an index that says it is a manifest":     {`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","manifests":[]}`, "", "says of itself"},
		"a manifest that says it is an index":     {`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","layers":[]}`, "", "says of itself"},
		"what is an index and a manifest at once": {`{"schemaVersion":2,"manifests":[],"layers":[]}`, "", "says of itself"},
		"what is something else":                  {`{"schemaVersion":2,"mediaType":"text/html"}`, "", "says of itself"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readTop([]byte(c.raw))
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got.descriptor.MediaType != c.mediaType || got.descriptor.Digest != digest.FromString(c.raw) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestThePlatformOfAnIndexIsChosen(t *testing.T) {
	d := digest.FromString("manifest")
	entry := func(mediaType, os, arch, variant string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: size, Platform: &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}}
	}
	const manifest = ocispec.MediaTypeImageManifest
	index := top{manifests: []ocispec.Descriptor{
		entry(manifest, "unknown", "unknown", "", 1), {MediaType: manifest, Digest: d, Size: 2}, entry(manifest, "linux", "arm", "v7", 3),
		entry(manifest, "linux", "arm64", "v8", 4), entry(manifest, "linux", "amd64", "", 5), entry(ocispec.MediaTypeImageIndex, "linux", "s390x", "", 6),
		entry(manifest, "linux", "riscv64", "", maxManifest+1), entry(manifest, "linux", "arm", "v7", 7),
	}}
	for platform, want := range map[string]int64{"linux/amd64": 5, "linux/arm64": 4, "linux/arm/v7": 3} {
		if got, err := index.choose("a:1", platform); err != nil || got.Size != want {
			t.Errorf("for %s it is %+v, %v", platform, got, err)
		}
	}
	_, err := index.choose("a:1", "linux/arm")
	missing, ok := errors.AsType[*MissingPlatformError](err)
	if !ok || missing.Image != "a:1" || !slices.Equal(missing.Available, []string{"linux/amd64", "linux/arm/v7", "linux/arm64", "linux/riscv64", "linux/s390x"}) {
		t.Errorf("a platform that is not there: %v", err)
	}
	for platform, says := range map[string]string{"linux/s390x": "and not a manifest", "linux/riscv64": "impossible size"} {
		if _, err := index.choose("a:1", platform); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("for %s: %v", platform, err)
		}
	}
}

func TestAManifestThatCannotBeTakenIsRefused(t *testing.T) {
	const d = `"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae","size":3`
	of := bundle.Descriptor{MediaType: ocispec.MediaTypeImageManifest}
	if config, layers, err := readManifest([]byte(`{"config":{`+d+`},"layers":[{`+d+`}]}`), of); err != nil || config.Size != 3 || len(layers) != 1 {
		t.Errorf("got %+v, %+v, %v", config, layers, err)
	}
	for name, c := range map[string]struct{ raw, says string }{
		"no JSON":                          {`<html>`, "is none"},
		"no layers":                        {`{"config":{` + d + `}}`, "no layers"},
		"no config":                        {`{"layers":[{` + d + `}]}`, "not a sha256 digest"},
		"a layer without a digest":         {`{"config":{` + d + `},"layers":[{"size":3}]}`, "not a sha256 digest"},
		"a layer without a size":           {`{"config":{` + d + `},"layers":[{"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}]}`, "impossible size"},
		"a layer that lies elsewhere":      {`{"config":{` + d + `},"layers":[{` + d + `,"urls":["https://x"]}]}`, "outside the registry"},
		"another type than it is named as": {`{"mediaType":"x/y","config":{` + d + `},"layers":[{` + d + `}]}`, "says of itself"},
		"a config larger than any may be":  {`{"config":{` + strings.Replace(d, `:3`, `:99999999`, 1) + `},"layers":[{` + d + `}]}`, "impossible size of 99999999"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := readManifest([]byte(c.raw), of); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzManifests(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"schemaVersion":2,"config":{"size":3},"layers":[{"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae","size":3}]}`,
		`{"schemaVersion":2,"manifests":null,"layers":[null]}`, `null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if top, err := readTop(raw); err == nil {
			if d, err := top.choose("a:1", "linux/amd64"); err == nil && (!isSHA256(d.Digest) || d.Size <= 0) {
				t.Errorf("%+v was chosen", d)
			}
		}
		config, layers, err := readManifest(raw, bundle.Descriptor{MediaType: ocispec.MediaTypeImageManifest})
		if err != nil {
			return
		}
		for _, d := range append(layers, config) {
			if !isSHA256(d.Digest) || d.Size <= 0 || d.Size > maxFile {
				t.Errorf("%+v was taken", d)
			}
		}
	})
}

func isSHA256(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }
