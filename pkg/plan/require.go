package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
)

// requirement is what one host needs of the bundle. What it would be good to have beside that, such as kubectl, is not in it.
type requirement struct {
	// files by kind; each kind has a place of its own on hosts.
	files map[bundle.FileKind][]string
	// images by component.
	images []string
}

// require says what a host needs for its part in the cluster: without any of it the change would stop half way.
func (b *builder) require(h desired.Host) requirement {
	c := b.in.Cluster
	r := requirement{
		files: map[bundle.FileKind][]string{
			bundle.FileBinary:    {"containerd", "containerd-shim-runc-v2", "ctr", "kubeadm", "runc"},
			bundle.FileCNIPlugin: {"loopback"}, // containerd's, whatever the pod network
		},
		images: []string{"coredns", "kube-proxy", "pause"},
	}
	file := func(kind bundle.FileKind, names ...string) { r.files[kind] = append(r.files[kind], names...) }
	if h.Kubelet != nil { // otherwise it stays where it is; refuseSkew has seen to that
		file(bundle.FileBinary, "kubelet")
	}
	if h.IsControlPlane() {
		file(bundle.FileBinary, "etcdctl", "etcdutl")
		r.images = append(r.images, "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
	}
	if c.Network.CNI.Type == v1alpha1.FlannelCNI {
		file(bundle.FileCNIPlugin, "bridge", "flannel", "host-local", "portmap")
		file(bundle.FileTool, "nft")
		r.images = append(r.images, "flannel")
	}
	if c.MetricsServer {
		r.images = append(r.images, "metrics-server")
	}
	proxied, routed := c.Endpoint.Type == v1alpha1.LocalProxyEndpoint || h.IsControlPlane(), b.in.Facts[h.Name].DefaultRoute4 == ""
	if proxied {
		file(bundle.FileTool, "haproxy")
	}
	if routed {
		file(bundle.FileTool, "ip")
	}
	if len(r.files[bundle.FileTool]) > 0 {
		file(bundle.FileTool, "ld.so")
	}
	return r
}

// lacks names what a host needs and the bundle has not for its platform, such as "file runc"; sorted.
func (b *builder) lacks(h desired.Host) []string {
	files, images := b.files(h), b.images(h)
	var out []string
	required := b.require(h)
	for kind, names := range required.files {
		for _, name := range names {
			if !slices.ContainsFunc(files, func(f bundle.File) bool { return f.Name == name && f.Kind == kind }) {
				out = append(out, "file "+name)
			}
		}
	}
	for _, component := range required.images {
		have := false
		for _, i := range images {
			have = have || i.Component == component
		}
		if have {
			continue
		}
		what := "image of " + component
		// Another platform's tells which one it is.
		if other, err := b.in.Cluster.Release.Image(component); err == nil {
			what = "image " + other.Name
		}
		out = append(out, what)
	}
	slices.Sort(out)
	return out
}

// refuseContent refuses a bundle that has not all that hosts need, and names everything that all of them lack. Hosts that lack the same
// are named together, since there may be many.
func (b *builder) refuseContent() error {
	type group struct{ platform, lacks string }
	var order []group
	hosts := map[group][]string{}
	for _, h := range b.in.Cluster.Hosts {
		if !b.inScope(h.Name) {
			continue
		}
		lacks := b.lacks(h)
		if len(lacks) == 0 {
			continue
		}
		g := group{b.in.Facts[h.Name].Platform, strings.Join(lacks, ", no ")}
		if hosts[g] == nil {
			order = append(order, g)
		}
		hosts[g] = append(hosts[g], h.Name)
	}
	if len(order) == 0 {
		return nil
	}
	var says []string
	for _, g := range order {
		who, them := "host "+hosts[g][0]+" is", "it"
		if len(hosts[g]) > 1 {
			who, them = "hosts "+strings.Join(hosts[g], ", ")+" are", "them"
		}
		says = append(says, fmt.Sprintf("%s %s; the bundle %s holds no %s for %s", who, g.platform, b.in.Bundle, g.lacks, them))
	}
	return &RefusedError{RefusedContentNotInBundle, fmt.Sprintf("Kubernetes %s cannot be brought about: %s: build or choose a bundle that has all of it (kubewright bundle inspect shows what one lacks)",
		b.in.Cluster.Version, strings.Join(says, "; "))}
}
