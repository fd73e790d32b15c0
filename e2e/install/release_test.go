//go:build e2e

package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/builder"
	"github.com/kubewright/kubewright/pkg/registry/registrytest"
)

// platform of the container hosts.
const platform = "linux/amd64"

// TestABundleOfWhatProjectsReleaseInstalls builds a bundle from a web server and a registry that stand for upstream: the real programs
// and images, under upstream's names and packed as projects pack them. Then it installs from that.
func TestABundleOfWhatProjectsReleaseInstalls(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "release", fixture.Options{ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops"})
	definition, err := filepath.Abs("../../artifacts/release-1.36.yaml")
	if err != nil {
		t.Fatal(err)
	}
	released := filepath.Join(i.Dir, "release.bundle")
	args := append([]string{"-f", definition, "--cache-dir", t.TempDir(), "--lock-file", filepath.Join(i.Dir, "release.lock.yaml")}, presentUpstream(t, i.Bundle, definition)...)
	for _, command := range [][]string{{"lock"}, {"build", "-o", released}} {
		if out, err := exec.CommandContext(ctx, i.Program, slices.Concat([]string{"bundle"}, command, args)...).CombinedOutput(); err != nil {
			t.Fatalf("kubewright bundle %s: %v\n%s", command[0], err, tail(string(out), 60))
		}
	}

	i.Bundle = released
	out := mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 10))
	if nodes := kubectl(t, ctx, i, "get", "nodes", "--no-headers"); strings.Count(nodes, " Ready ") != 2 || strings.Count(nodes, version) != 2 {
		t.Errorf("nodes are\n%s", nodes)
	}
	if report, err := i.AskService(ctx); err != nil {
		t.Errorf("a Service does not answer: %v\n%s", err, report)
	}
	if top, err := i.TopNodes(ctx); err != nil {
		t.Errorf("kubectl top nodes, which runs on the image whose layers are packed with zstd: %v\n%s", err, top)
	}
	// Packed layers reach containerd as they are, so that upstream's digests and signatures stay good.
	if held := run(t, ctx, fleet, "n2", "/usr/local/bin/ctr", "--namespace", "k8s.io", "content", "ls"); !strings.Contains(held, packedLayer(t, released)) {
		t.Errorf("n2 does not hold the packed layer of kube-proxy:\n%s", held)
	}
	if out, err = i.Up(ctx); err != nil || !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("the same command again: %v\n%s", err, out)
	}
}

// packedLayer is the digest of a layer that every node needs, as the bundle has it.
func packedLayer(t *testing.T, file string) string {
	t.Helper()
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	image, err := b.Config().Releases[0].Image("kube-proxy")
	if err != nil {
		t.Fatal(err)
	}
	of, err := image.For(platform)
	if err != nil {
		t.Fatal(err)
	}
	top := of.Layers[len(of.Layers)-1]
	if !strings.HasSuffix(top.MediaType, "gzip") {
		t.Errorf("the layer of kube-proxy is %s in the bundle, upstream it is packed with gzip", top.MediaType)
	}
	return top.Digest.String()
}

// presentUpstream takes what a bundle that was built from source holds and presents it as a definition of releases wants to find it. It
// returns the arguments that lead a build there.
func presentUpstream(t *testing.T, source, definition string) []string {
	t.Helper()
	b, err := bundle.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	def, err := builder.LoadDefinition(definition)
	if err != nil {
		t.Fatal(err)
	}
	release, err := b.Release(def.KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	content := func(d digest.Digest) []byte {
		section, err := b.Blob(d)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(section)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}

	files := map[string][]byte{}
	for _, d := range def.Downloads {
		publish(t, files, d, func(name string) []byte {
			f, err := release.File(name, platform)
			if err != nil {
				t.Fatal(err)
			}
			return content(f.Digest)
		})
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(held))
	}))
	t.Cleanup(web.Close)

	reg := registrytest.New(t, registrytest.Options{})
	hosts := map[string]bool{}
	for _, img := range def.Images {
		if img.Pull == nil {
			continue
		}
		held, err := release.Image(img.Component)
		if err != nil {
			t.Fatal(err)
		}
		of, err := held.For(platform)
		if err != nil {
			t.Fatal(err)
		}
		packing, media := compression.GZip, types.OCILayer
		if img.Component == "metrics-server" {
			packing, media = compression.ZStd, types.OCILayerZStd
		}
		reg.Push(img.Name, packed(t, of, content, packing, media))
		host, _, _ := strings.Cut(img.Name, "/")
		hosts[host] = true
	}

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(reg.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--ca-file", ca, "--allow-loopback-sources"}
	for host := range hosts {
		args = append(args, "--mirror", host+"="+reg.Host+"/"+host)
	}
	for at := range files {
		host, _, _ := strings.Cut(at, "/")
		hosts["https://"+host] = true
	}
	for host := range hosts {
		if name, ok := strings.CutPrefix(host, "https://"); ok {
			args = append(args, "--mirror", host+"="+web.URL+"/"+name)
		}
	}
	return args
}

// publish puts a download and the sums of it where a definition looks for them, by host and path.
func publish(t *testing.T, files map[string][]byte, d builder.Download, content func(name string) []byte) {
	t.Helper()
	goos, arch, _ := strings.Cut(platform, "/")
	named := strings.NewReplacer("{version}", d.Version, "{number}", strings.TrimPrefix(d.Version, "v"), "{os}", goos, "{arch}", arch)
	at := func(text string) string {
		u, err := url.Parse(named.Replace(text))
		if err != nil {
			t.Fatal(err)
		}
		return u.Host + u.Path
	}
	var body []byte
	if d.Files[0].Path == "" {
		body = content(d.Files[0].Name)
	} else {
		inside := map[string][]byte{}
		for _, f := range d.Files {
			inside[named.Replace(f.Path)] = content(f.Name)
		}
		body = archive(t, inside)
	}
	files[at(d.URL)] = body
	files[at(d.Checksum)] = fmt.Appendf(files[at(d.Checksum)], "%x  %s\n", sha256.Sum256(body), path.Base(at(d.URL)))
}

// archive packs programs as projects do.
func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for name, content := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packed is an image with its layers packed, as registries have them.
func packed(t *testing.T, of *bundle.ImagePlatform, content func(digest.Digest) []byte, with compression.Compression, media types.MediaType) v1.Image {
	t.Helper()
	image := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	for _, l := range of.Layers {
		raw := content(l.Digest)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
			tarball.WithCompression(with), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithMediaType(media))
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	appended, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(content(of.Config.Digest)))
	if err != nil {
		t.Fatal(err)
	}
	config.RootFS, config.History = appended.RootFS, nil
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}
