// Package plantest makes desired clusters, releases and facts for tests of the planner and of what renders for it.
package plantest

import (
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/plan"
)

// UID of the cluster every test speaks of.
const UID = "0d7e1f6c-3b7d-4a55-9c55-6a4b1a3f2f10"

// Release is a bundle release of v1.36.3 for linux/amd64 with one small file or image of every component.
func Release() *bundle.Release {
	r := &bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"}}
	for _, name := range []string{"kubeadm", "kubelet", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "etcdctl", "etcdutl"} {
		r.Files = append(r.Files, file(name, bundle.FileBinary, name))
	}
	for _, name := range []string{"bridge", "flannel", "host-local", "loopback", "portmap"} {
		r.Files = append(r.Files, file(name, bundle.FileCNIPlugin, "cni-plugins"))
	}
	for _, name := range []string{"haproxy", "ip", "ld.so", "nft"} {
		r.Files = append(r.Files, file(name, bundle.FileTool, "host-tools"))
	}
	r.Files = append(r.Files, file("kubewright-host", bundle.FileHelper, "kubewright"))
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kube-proxy", "coredns", "pause", "flannel", "metrics-server"} {
		r.Images = append(r.Images, bundle.Image{Name: "registry.k8s.io/" + name + ":test", Component: name, Platforms: []bundle.ImagePlatform{{
			Platform: "linux/amd64", Manifest: blob(name + "-manifest"), Config: blob(name + "-config"), Layers: []bundle.Descriptor{blob(name + "-layer")},
		}}})
	}
	return r
}

// Releases is what a bundle holds.
type Releases []*bundle.Release

// Release implements desired.Releases.
func (r Releases) Release(version string) (*bundle.Release, error) {
	var have []string
	for _, one := range r {
		if one.KubernetesVersion == version {
			return one, nil
		}
		have = append(have, one.KubernetesVersion)
	}
	return nil, &bundle.VersionNotFoundError{Version: version, Available: have}
}

func file(name string, kind bundle.FileKind, component string) bundle.File {
	return bundle.File{Name: name, Kind: kind, Component: component, Platform: "linux/amd64", Digest: digest.FromString(name), Size: int64(len(name)), Mode: 0o755}
}

func blob(name string) bundle.Descriptor {
	return bundle.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromString(name), Size: int64(len(name))}
}

// Spec is a Cluster with control planes cp1.. and workers w1.., and the Hosts it names at 192.0.2.x.
func Spec(controlPlanes, workers int) (*v1alpha1.Cluster, map[string]v1alpha1.Host) {
	c := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "default", UID: types.UID(UID)},
		Spec: v1alpha1.ClusterSpec{
			Version: "v1.36.3",
			Network: v1alpha1.Network{
				PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNSDomain: "cluster.local",
				CNI: v1alpha1.CNI{Type: v1alpha1.FlannelCNI, FlannelBackend: "vxlan"},
			},
		},
	}
	hosts := map[string]v1alpha1.Host{}
	add := func(name string) string {
		hosts[name] = v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.HostSpec{Address: fmt.Sprintf("192.0.2.%d", len(hosts)+1)}}
		return name
	}
	for i := range controlPlanes {
		c.Spec.ControlPlane.Hosts = append(c.Spec.ControlPlane.Hosts, add(fmt.Sprintf("cp%d", i+1)))
	}
	pool := v1alpha1.WorkerPool{Name: "default", Labels: map[string]string{"example.com/pool": "default"}}
	for i := range workers {
		pool.Hosts = append(pool.Hosts, add(fmt.Sprintf("w%d", i+1)))
	}
	if workers > 0 {
		c.Spec.Workers = []v1alpha1.WorkerPool{pool}
	}
	return c, hosts
}

// Facts of a machine on which nothing stands in the way.
func Facts(h desired.Host) *hostapi.Facts {
	return &hostapi.Facts{
		Hostname: h.Name, MachineID: "id-" + h.Name, Platform: "linux/amd64", CPUs: 4, MemoryBytes: 8 << 30, Cgroup: "v2",
		Disks:       []hostapi.Disk{{Path: "/var/lib", FreeBytes: 100 << 30}, {Path: "/var/lib/containerd", FreeBytes: 100 << 30}},
		Interfaces:  []hostapi.Interface{{Name: "eth0", Addresses: []string{h.Address + "/24"}}},
		Nameservers: []string{"192.0.2.53"},
		Features:    hostapi.KernelFeatures{Overlay: true, NFTables: true, BrNetfilter: true, VXLAN: true, Conntrack: true},
		Sysctls:     []hostapi.SysctlFact{{Key: "fs.inotify.max_user_instances", Value: "128"}, {Key: "fs.inotify.max_user_watches", Value: "1048576"}},
	}
}

// Input is a planner's input for fresh hosts. Signed material is left empty: planning does not look into it.
func Input(controlPlanes, workers int) (plan.Input, error) {
	spec, hosts := Spec(controlPlanes, workers)
	cluster, err := desired.New(spec, hosts, Releases{Release()}, Authorities())
	if err != nil {
		return plan.Input{}, err
	}
	in := plan.Input{Cluster: cluster, Bundle: "test", Facts: map[string]*hostapi.Facts{}}
	for _, h := range cluster.Hosts {
		in.Facts[h.Name] = Facts(h)
	}
	in.Flannel, in.MetricsServer = Objects()
	return in, nil
}

// Objects are what the bundle's manifests hold of flannel and metrics-server, as far as planning looks into them.
func Objects() (flannel, metricsServer []*unstructured.Unstructured) {
	flannel = []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "kube-flannel-cfg", "namespace": "kube-flannel"}, "data": map[string]any{},
	}}}
	metricsServer = []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "metrics-server", "namespace": "kube-system"},
	}}}
	return flannel, metricsServer
}

// Authorities are made once: planning does not look into them, and keys take time.
var Authorities = sync.OnceValue(func() *pki.Authorities {
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		panic(err)
	}
	return authorities
})
