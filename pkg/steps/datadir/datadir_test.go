package datadir_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/datadir"
)

func TestDataIsBoundToItsPlaceBeforeAnybodyUsesIt(t *testing.T) {
	h := desired.Host{DataDirectories: []desired.DataDirectory{{Place: desired.EtcdPlace, Path: "/data/etcd", Field: "etcd"}, {Place: desired.KubeletPlace, Path: "/data/kubelet", Field: "kubelet"}}}
	resources := datadir.Resources(h)
	if err := hostapi.ValidateResources(resources); err != nil {
		t.Fatal(err)
	}
	var got []string
	files := map[string]string{}
	for _, r := range resources {
		switch {
		case r.Dir != nil:
			got = append(got, r.Dir.Path)
		case r.File != nil:
			got = append(got, r.File.Path)
			files[r.File.Path] = string(r.File.Content)
		case r.Unit != nil:
			got = append(got, r.Unit.Name)
		}
	}
	if want := []string{
		"/data/etcd", "/var/lib/etcd", "/etc/systemd/system/var-lib-etcd.mount", "var-lib-etcd.mount",
		"/data/kubelet", "/var/lib/kubelet", "/etc/systemd/system/var-lib-kubelet.mount", "var-lib-kubelet.mount",
		"/etc/systemd/system/kubelet.service.d/10-data-directories.conf",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if text := files["/etc/systemd/system/kubelet.service.d/10-data-directories.conf"]; text != "[Unit]\nRequiresMountsFor=/var/lib/etcd /var/lib/kubelet\n" {
		t.Errorf("kubelet starts with\n%s", text)
	}
	if text := files["/etc/systemd/system/var-lib-etcd.mount"]; !strings.Contains(text, "AssertPathIsDirectory=/data/etcd\n") || !strings.Contains(text, "What=/data/etcd\nWhere=/var/lib/etcd\n") {
		t.Errorf("the mount is\n%s", text)
	}
	if more := datadir.Resources(desired.Host{}); more != nil {
		t.Errorf("a host without data directories gets %+v", more)
	}
}
