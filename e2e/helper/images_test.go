//go:build e2e

package helper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/registry"
)

const containerdUnit = `[Unit]
Description=containerd
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
[Install]
WantedBy=multi-user.target
`

const containerdConfig = `version = 3
[plugins.'io.containerd.transfer.v1.local']
max_concurrent_downloads = 4
max_concurrent_unpacks = 4
`

func TestImagesOfABundleReachContainerdAndResetRemovesThem(t *testing.T) {
	path, err := kubewright.BundlePath()
	if err != nil {
		t.Fatal(err)
	}
	m := dial(t)
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	tunnel, err := registry.New(registry.Options{}, registry.FromBundle(b))
	if err != nil {
		t.Fatal(err)
	}
	content, placed, images := want(b)

	c := m.open(t, client.Options{Operation: "images", Holder: t.Name(), Blobs: tunnel})
	if _, err := c.AcquireLease(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	step := func(name string, rs []api.Resource) {
		t.Helper()
		start := time.Now()
		_, err := c.Apply(t.Context(), api.ApplyRequest{Step: name, Owner: owner, Resources: rs}, nil)
		t.Logf("%s: %s, %+v", name, time.Since(start), c.Stats())
		if err != nil {
			t.Fatal(err)
		}
	}
	step("content", content)
	step("files and containerd", placed)
	step("images", images)
	all := append(append(content, placed...), images...)
	before := c.Stats().Requests
	start := time.Now()
	vs, err := c.Check(t.Context(), api.CheckRequest{Resources: all})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("check of %d resources: %s", len(all), time.Since(start))
	for _, v := range vs {
		if v.State != api.Done {
			t.Errorf("%s is %s afterwards: %s", v.Resource, v.State, v.Why)
		}
	}
	if n := c.Stats().Requests - before; n != 1 {
		t.Errorf("checking took %d requests", n)
	}
	if left := m.run(t, nil, "find /var/lib/kubewright/blobs -type f | wc -l; ls /run/kubewright/hosts | wc -l"); left != "0\n0\n" {
		t.Errorf("staged blobs or mirrors are left: %q", left)
	}
	list := m.run(t, nil, "/usr/local/bin/ctr -n k8s.io images ls")
	t.Log(list)
	for _, i := range images {
		if !slices.ContainsFunc(strings.Split(list, "\n"), func(l string) bool {
			return strings.HasPrefix(l, i.Image.Name+" ") && strings.Contains(l, "io.cri-containerd.pinned=pinned")
		}) {
			t.Errorf("%s is not pinned", i.Image.Name)
		}
	}
	requirePinsOfWhatRuns(t, m, images, func(keep []string) {
		step("pins", []api.Resource{{ID: "pins", ImagePins: &api.ImagePins{Keep: keep}}})
	})
	report, err := c.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("reset: %+v, %v", report, err)
	}
	if left := m.run(t, nil, "ls -A /usr/local/bin /var/lib/containerd /etc/containerd 2>/dev/null; pgrep containerd || true; grep containerd /proc/mounts | grep -v ' /var/lib/containerd ' || true"); left != "/usr/local/bin:\n\n/var/lib/containerd:\n" {
		t.Errorf("reset left: %q", left)
	}
}

// requirePinsOfWhatRuns wants that an image which nobody keeps stays pinned as long as a container runs from it, and no longer.
func requirePinsOfWhatRuns(t *testing.T, m *machine, images []api.Resource, pin func(keep []string)) {
	t.Helper()
	const ctr = "/usr/local/bin/ctr -n k8s.io "
	var keep []string
	var runs, idle string
	for _, i := range images {
		switch name := i.Image.Name; {
		case strings.Contains(name, "/coredns:"):
			runs = name
		case strings.Contains(name, "/flannel:"):
			idle = name
		default:
			keep = append(keep, name)
		}
	}
	require := func(when string, want map[string]bool) {
		t.Helper()
		list := m.run(t, nil, ctr+"images ls")
		for name, pinned := range want {
			if got := slices.ContainsFunc(strings.Split(list, "\n"), func(l string) bool {
				return strings.HasPrefix(l, name+" ") && strings.Contains(l, "io.cri-containerd.pinned=pinned")
			}); got != pinned {
				t.Errorf("%s: %s is pinned: %t, want %t", when, name, got, pinned)
			}
		}
	}
	m.run(t, nil, ctr+"run --detach --null-io --label io.cri-containerd.kind=container "+runs+" holds")
	pin(keep)
	require("while it runs", map[string]bool{runs: true, idle: false, keep[0]: true})
	m.run(t, nil, ctr+"tasks rm --force holds && "+ctr+"containers rm holds")
	pin(keep)
	require("after it has ended", map[string]bool{runs: false, idle: false, keep[0]: true})
}

// want picks containerd and a few images.
func want(b *bundle.Bundle) (content, placed, images []api.Resource) {
	release := b.Config().Releases[0]
	seen := map[string]bool{}
	blob := func(digest string, size int64, alt ...string) {
		if !seen[digest] {
			seen[digest] = true
			content = append(content, api.Resource{ID: digest, Blob: &api.Blob{Digest: digest, Size: size, AltFiles: alt}})
		}
	}
	for _, f := range release.Files {
		switch f.Name {
		case "containerd", "containerd-shim-runc-v2", "ctr", "runc":
			at := "/usr/local/bin/" + f.Name
			blob(f.Digest.String(), f.Size, at)
			placed = append(placed, api.Resource{ID: at, File: &api.File{Path: at, Mode: 0o755, Blob: f.Digest.String(), Size: f.Size}})
		}
	}
	placed = append(placed,
		api.Resource{ID: "dir", Dir: &api.Dir{Path: "/var/lib/containerd", Purge: true}},
		api.Resource{ID: "config", File: &api.File{Path: "/etc/containerd/config.toml", Content: []byte(containerdConfig)}},
		api.Resource{ID: "unit", File: &api.File{Path: "/etc/systemd/system/containerd.service", Content: []byte(containerdUnit)}},
		api.Resource{ID: "containerd", Unit: &api.Unit{Name: "containerd.service", Enabled: true, Active: true, Inputs: "1"}})
	for _, i := range release.Images {
		switch i.Component {
		case "pause", "coredns", "etcd", "kube-proxy", "flannel":
		default:
			continue
		}
		p := i.Platforms[0]
		r := &api.Image{Name: i.Name, Pin: true, Manifest: api.Descriptor{Digest: p.Manifest.Digest.String(), Size: p.Manifest.Size, MediaType: p.Manifest.MediaType}}
		blob(p.Manifest.Digest.String(), p.Manifest.Size)
		for _, d := range append([]bundle.Descriptor{p.Config}, p.Layers...) {
			blob(d.Digest.String(), d.Size)
			r.Blobs = append(r.Blobs, api.Descriptor{Digest: d.Digest.String(), Size: d.Size, MediaType: d.MediaType})
		}
		images = append(images, api.Resource{ID: i.Name, Image: r})
	}
	return content, placed, images
}
