package evidence

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	spdxjson "github.com/spdx/tools-golang/json"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const sum = "h1:Dqm61UZ0Tu2nRzqmWWFiH53NJGbVUL8Vx0xKa0RqYnM="

func config(version string) *bundle.Config {
	return &bundle.Config{Name: "small", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{
		KubernetesVersion: version, Platforms: []string{"linux/amd64"},
		Components: []bundle.Component{
			{Name: "kubernetes", Version: version, Type: "Go", Source: "k8s.io/kubernetes", Checksum: sum},
			{Name: "haproxy", Version: "2:2.6+dfsg-1", Type: "Debian", Checksum: "sha256:" + strings.Repeat("a", 64)},
			{Name: "pause", Version: "3", Type: "Own"},
		},
	}}}
}

func program(name string, deps ...*debug.Module) Program {
	return Program{Name: name, Version: "v1", Platform: "linux/amd64", Digest: digest.FromString(name),
		Info: &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "k8s.io/kubernetes", Version: "v1.36.3", Sum: sum}, Deps: deps}}
}

func some(version string) []Program {
	return []Program{
		program("kubelet"+version, &debug.Module{Path: "github.com/a/b", Version: "v2.0.0+incompatible", Sum: sum}),
		program("kubeadm", &debug.Module{Path: "github.com/a/b", Version: "v2.0.0+incompatible", Sum: sum},
			&debug.Module{Path: "github.com/c/d", Version: "v1.0.0", Replace: &debug.Module{Path: "github.com/fork/d", Version: "v1.0.1", Sum: sum}},
			&debug.Module{Path: "github.com/e/f", Version: "v1.0.0", Replace: &debug.Module{Path: "../src/stub"}}),
	}
}

func sbom(t *testing.T, version string, programs []Program) []byte {
	t.Helper()
	raw, err := SBOM(config(version), digest.FromString(version), programs)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTheBillOfMaterialsNamesModulesWithTheirSumsAndPackages(t *testing.T) {
	raw := sbom(t, "v1.36.3", some(""))
	doc, err := spdxjson.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range doc.Packages {
		names = append(names, p.PackageName+" "+p.PackageVersion)
		if p.PackageName == "github.com/a/b" {
			want, err := dirHash(sum)
			if err != nil || p.PackageChecksums[0].Value != want || p.PackageSourceInfo != "go.sum "+sum {
				t.Errorf("module: %+v, %v", p, err)
			}
			if got := p.PackageExternalReferences[0].Locator; got != "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible" {
				t.Errorf("package URL %s", got)
			}
		}
		if p.PackageName == "haproxy" && p.PackageExternalReferences[0].Locator != "pkg:deb/debian/haproxy@2%3A2.6%2Bdfsg-1?arch=amd64" {
			t.Errorf("package URL %s", p.PackageExternalReferences[0].Locator)
		}
	}
	want := []string{"github.com/a/b v2.0.0+incompatible", "github.com/e/f local", "github.com/fork/d v1.0.1", "haproxy 2:2.6+dfsg-1",
		"k8s.io/kubernetes v1.36.3", "kubeadm v1", "kubelet v1", "small v1.36.3", "stdlib 1.26.8"}
	if !slices.Equal(names, want) {
		t.Errorf("packages are %q, want %q", names, want)
	}
	if strings.Contains(string(raw), "../src") {
		t.Error("a path of the machine that built is in it")
	}
}

func TestDocumentsDoNotDependOnTheOrderOfWhatWentIn(t *testing.T) {
	programs := some("")
	first := sbom(t, "v1.36.3", programs)
	slices.Reverse(programs)
	slices.Reverse(programs[0].Info.Deps)
	if !bytes.Equal(first, sbom(t, "v1.36.3", programs)) {
		t.Error("the order shows")
	}
}

func TestBillsOfMaterialsMerge(t *testing.T) {
	a, b := sbom(t, "v1.35.4", some("35")), sbom(t, "v1.36.3", some("36"))
	cfg := config("v1.35.4")
	cfg.Releases = append(cfg.Releases, config("v1.36.3").Releases...)
	root := digest.FromString("merged")
	first, err := MergeSBOM(cfg, root, [][]byte{a, b})
	if err != nil {
		t.Fatal(err)
	}
	second, err := MergeSBOM(cfg, root, [][]byte{b, a, b})
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the order shows, %v", err)
	}
	at, err := SBOM(cfg, root, append(some("35"), some("36")...))
	if err != nil || !bytes.Equal(first, at) {
		t.Errorf("it is not what a build of both at once would say, %v", err)
	}
	if _, err := MergeSBOM(cfg, root, [][]byte{[]byte("nonsense")}); err == nil {
		t.Error("nonsense was merged")
	}
}

func TestProvenanceNamesTheBundleAndEverythingThatWentIn(t *testing.T) {
	build := Build{Type: BuildType, Parameters: map[string]any{"definition": "x.yaml"}, Internal: map[string]any{"go": "1.26.8"},
		Inputs: map[string]digest.Digest{"x.yaml": digest.FromString("x"), "go.mod": digest.FromString("mod")}}
	root := digest.FromString("root")
	raw, err := Provenance(config("v1.36.3"), root, build)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	if p.Subject[0].Digest["sha256"] != root.Encoded() || p.Predicate.BuildDefinition.BuildType != BuildType {
		t.Errorf("got %s", raw)
	}
	var names []string
	for _, r := range p.Predicate.BuildDefinition.ResolvedDependencies {
		names = append(names, r.Name+r.URI)
		if len(r.Digest) != 1 {
			t.Errorf("%+v has no digest", r)
		}
	}
	want := []string{"go.mod", "x.yaml", "pkg:deb/debian/haproxy@2%3A2.6%2Bdfsg-1?arch=amd64", "pkg:golang/k8s.io/kubernetes@v1.36.3"}
	if !slices.Equal(names, want) {
		t.Errorf("dependencies are %q, want %q", names, want)
	}
}

func TestAMergedBundleHasTheBillOfMaterialsOfAllOrNone(t *testing.T) {
	write := func(version string, attachments ...bundle.Attachment) *bundle.Bundle {
		path := filepath.Join(t.TempDir(), version)
		if _, err := bundle.Write(t.Context(), path, config(version), nil, attachments...); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() }) //nolint:errcheck // read only
		return b
	}
	a := write("v1.35.4", bundle.Attachment{Type: bundle.TypeSBOM, Content: sbom(t, "v1.35.4", some("35"))})
	b := write("v1.36.3", bundle.Attachment{Type: bundle.TypeSBOM, Content: sbom(t, "v1.36.3", some("36"))})
	bare := write("v1.37.0")
	for _, c := range []struct {
		inputs []*bundle.Bundle
		want   []string
	}{
		{[]*bundle.Bundle{a, b}, []string{bundle.TypeSBOM, bundle.TypeProvenance}},
		{[]*bundle.Bundle{a, bare}, []string{bundle.TypeProvenance}},
	} {
		path := filepath.Join(t.TempDir(), "merged")
		if _, err := bundle.Merge(t.Context(), path, c.inputs, bundle.MergeOptions{Attach: ForMerge(c.inputs)}); err != nil {
			t.Fatal(err)
		}
		merged, err := bundle.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range merged.Referrers() {
			got = append(got, r.Type)
			raw, err := merged.Attached(r)
			if err != nil || r.Type == bundle.TypeProvenance && !strings.Contains(string(raw), c.inputs[0].Digest().Encoded()) {
				t.Errorf("%s does not name what was merged: %s, %v", r.Type, raw, err)
			}
		}
		if err := merged.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("attached are %q, want %q", got, c.want)
		}
	}
}
