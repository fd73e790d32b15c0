package upstream

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTheLongestMirrorThatFitsCounts(t *testing.T) {
	mirrors := Mirrors{
		{"https://dl.k8s.io", "https://mirror.test/k8s/"}, {"https://github.com/", "https://mirror.test/github"},
		{"https://github.com/containerd", "https://near.test"}, {"registry.k8s.io", "mirror.test:5000/k8s"},
		{"registry.k8s.io/coredns", "near.test"}, {"https://dl.k8s.io", "https://never.test"},
	}
	for name, c := range map[string]struct{ from, want string }{
		"a URL":                              {"https://dl.k8s.io/v1/bin/kubeadm", "https://mirror.test/k8s/v1/bin/kubeadm"},
		"a mirror that is written with /":    {"https://github.com/etcd-io/etcd", "https://mirror.test/github/etcd-io/etcd"},
		"a mirror of a part":                 {"https://github.com/containerd/containerd/x", "https://near.test/containerd/x"},
		"a name that only begins the same":   {"https://dl.k8s.io.evil.test/v1", "https://dl.k8s.io.evil.test/v1"},
		"a part that only begins the same":   {"https://github.com/containerdx/x", "https://mirror.test/github/containerdx/x"},
		"an image":                           {"registry.k8s.io/pause", "mirror.test:5000/k8s/pause"},
		"an image with a mirror of its part": {"registry.k8s.io/coredns/coredns", "near.test/coredns"},
		"what no mirror has":                 {"ghcr.io/flannel-io/flannel", "ghcr.io/flannel-io/flannel"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mirrors.Apply(c.from); got != c.want {
				t.Errorf("%s is had from %s, want %s", c.from, got, c.want)
			}
		})
	}
}

func TestMirrorsThatCannotBeRightAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"half a mirror":          "https://dl.k8s.io",
		"a URL for images":       "registry.k8s.io=https://mirror.test",
		"images for a URL":       "https://dl.k8s.io=mirror.test",
		"a password":             "https://dl.k8s.io=https://u:p@mirror.test",
		"a query":                "https://dl.k8s.io=https://mirror.test/?token=x",
		"nothing":                "=",
		"nothing in the end":     "registry.k8s.io=",
		"a way that leads up":    "registry.k8s.io=mirror.test/../x",
		"another sort of scheme": "https://dl.k8s.io=ftp://mirror.test",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := ParseMirror(text); err == nil || !strings.Contains(err.Error(), "mirror") {
				t.Errorf("%q was taken as %+v: %v", text, m, err)
			}
		})
	}
	if m, err := ParseMirror("registry.k8s.io=mirror.test:5000/k8s"); err != nil || m != (Mirror{"registry.k8s.io", "mirror.test:5000/k8s"}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestSettingsAreReadAndPathsAreRelativeToThem(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		file := filepath.Join(dir, "settings.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	got, err := LoadSettings(write("mirrors: [{from: registry.k8s.io, to: mirror.test}]\ncaFile: ca.pem\ndockerConfig: /etc/docker.json\n"))
	want := &Settings{Mirrors: Mirrors{{"registry.k8s.io", "mirror.test"}}, CAFile: filepath.Join(dir, "ca.pem"), DockerConfig: "/etc/docker.json"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, text := range map[string]string{"an unknown field": "mirror: []", "a wrong mirror": "mirrors: [{from: registry.k8s.io, to: \"https://x\"}]"} {
		if _, err := LoadSettings(write(text)); err == nil || !strings.Contains(err.Error(), "settings.yaml") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
