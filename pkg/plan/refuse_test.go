package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/cni"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// running is an input of three joined control planes and a worker at a version, all well.
func running(t *testing.T, version string) plan.Input {
	t.Helper()
	in, err := plantest.Input(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	in.State = plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}, MembersKnown: true}
	for _, h := range in.Cluster.Hosts {
		in.State.Nodes[h.Name] = plan.Node{Kubelet: version, Ready: true}
		in.Facts[h.Name].Receipts, in.Facts[h.Name].Paths = []string{kubeadm.JoinCommand}, []hostapi.PathFact{{Path: cni.ConfPath}, {Path: kubeadm.CACert}}
		if h.IsControlPlane() {
			in.Facts[h.Name].Receipts = []string{kubeadm.JoinEtcdCommand, kubeadm.JoinFinishCommand}
			in.State.APIServers[h.Name] = version
			in.State.Members = append(in.State.Members, plan.Member{Name: h.Name})
		}
	}
	return in
}

func TestChangesThatWouldBreakARuleAreRefusedBeforeAnythingIsPlanned(t *testing.T) {
	leaves := func(names ...string) []plan.Leaving {
		var list []plan.Leaving
		for _, n := range names {
			list = append(list, plan.Leaving{Name: n, ControlPlane: true})
		}
		return list
	}
	for _, c := range []struct {
		name, from string
		edit       func(*plan.Input)
		want       plan.RefusalReason
	}{
		{"nothing to do is no reason to refuse", "v1.36.3", nil, ""},
		{"the next minor version is not refused", "v1.35.4", nil, ""},
		{"a minor version is skipped", "v1.34.4", nil, plan.RefusedSkippedMinor},
		{"the version goes back by a patch", "v1.36.4", nil, plan.RefusedDowngrade},
		{"the version goes back by a minor", "v1.37.0", nil, plan.RefusedDowngrade},
		{"data of a host shall be where it was set up", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp1"].OwnedPaths = []string{desired.EtcdPlace}
			in.Facts["cp1"].DataDirectories = map[string]string{desired.EtcdPlace: "/data/etcd"}
			in.Cluster.Hosts[0].DataDirectories = []desired.DataDirectory{{Place: desired.EtcdPlace, Path: "/data/etcd", Field: "etcd"}}
		}, ""},
		{"data of a host that was set up shall be elsewhere", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp1"].OwnedPaths = []string{desired.EtcdPlace}
			in.Cluster.Hosts[0].DataDirectories = []desired.DataDirectory{{Place: desired.EtcdPlace, Path: "/data/etcd", Field: "etcd"}}
		}, plan.RefusedDataDirectory},
		{"data of a host shall be at the well-known place again", "v1.36.3", func(in *plan.Input) {
			in.Facts["w1"].DataDirectories = map[string]string{desired.KubeletPlace: "/data/kubelet"}
		}, plan.RefusedDataDirectory},
		{"etcd takes no writes", "v1.36.3", func(in *plan.Input) { in.State.Members[1].OutOfSpace = true }, plan.RefusedOutOfSpace},
		{"a worker has another address than it joined with", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.36.3", Ready: true, Addresses: []string{"192.0.2.77"}}
		}, plan.RefusedRenumbering},
		{"a control plane has another address than it joined with", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["cp2"] = plan.Node{Kubelet: "v1.36.3", Ready: true, Addresses: []string{"192.0.2.77"}}
		}, plan.RefusedRenumbering},
		{"a node has the address it joined with beside another", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.36.3", Ready: true, Addresses: []string{"fd00::7", in.Cluster.Hosts[3].Address}}
		}, ""},
		{"an override tells kubelet another address", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.36.3", Ready: true, Addresses: []string{"192.0.2.77"}}
			in.Cluster.Hosts[3].Kubeadm = []*runtime.RawExtension{{Raw: []byte(`{"nodeRegistration":{"kubeletExtraArgs":[{"name":"node-ip","value":"192.0.2.77"}]}}`)}}
		}, ""},
		{"a node of that name is of a host that has not joined", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.36.3", Addresses: []string{"192.0.2.77"}}
			in.Facts["w1"].Receipts = nil
		}, ""},
		{"a kubelet is newer than what the API servers shall be", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.37.0"}
		}, plan.RefusedVersionSkew},
		{"a kubelet is too old for what the API servers shall be", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.32.9"}
		}, plan.RefusedVersionSkew},
		{"a pool that lags behind is not in the bundle and its hosts run something else", "v1.36.3", func(in *plan.Input) {
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", nil
		}, plan.RefusedVersionNotInBundle},
		{"a pool that lags behind is not in the bundle and stays as it is", "v1.36.3", func(in *plan.Input) {
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", nil
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.35.4", Ready: true}
		}, ""},
		{"a member leaves while another is down", "v1.36.3", func(in *plan.Input) {
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2", Problem: "no answer"}, {Name: "old"}}
			in.Leaving = leaves("old")
		}, plan.RefusedQuorum},
		{"the member that is down leaves", "v1.36.3", func(in *plan.Input) {
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3"}, {Name: "old", Problem: "no answer"}}
			in.Leaving = leaves("old")
		}, ""},
		{"an upgrade would take down one of two members that are well", "v1.35.4", func(in *plan.Input) {
			in.State.Members[2].Problem = "no answer"
		}, plan.RefusedQuorum},
		{"an upgrade replaces a dead control plane in the same edit", "v1.35.4", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			delete(in.State.APIServers, "cp3")
			in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
			in.Leaving = leaves("old")
		}, plan.RefusedQuorum},
		{"a dead control plane is replaced", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
			in.Leaving = leaves("old")
		}, ""},
		{"an upgrade with unknown health of members", "v1.35.4", func(in *plan.Input) {
			in.State.Members, in.State.MembersKnown = nil, false
		}, plan.RefusedMembersUnknown},
		{"a host joins while a member is down", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2", Problem: "no answer"}}
		}, plan.RefusedQuorum},
		{"a host joins while health is unknown", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members, in.State.MembersKnown = nil, false
		}, plan.RefusedMembersUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, c.from)
			if c.edit != nil {
				c.edit(&in)
			}
			graph, err := plan.Converge(in)
			var refused *plan.RefusedError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.As(err, &refused) || refused.Reason != c.want):
				t.Errorf("got %v, want a refusal for %s", err, c.want)
			case c.want != "" && graph != nil:
				t.Error("a refusal came with a graph")
			}
		})
	}
}

// What is changed besides is not known before hosts are compared, and by then it must not be too late.
func TestMembersComeAndGoBeforeStaticPodsAreExchangedWhereNoneCouldBeRestarted(t *testing.T) {
	replaced := func(in *plan.Input) {
		in.Facts["cp3"].Receipts = nil
		in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
		in.Leaving = []plan.Leaving{{Name: "old", ControlPlane: true, Orphan: true}}
	}
	for _, c := range []struct {
		name string
		edit func(*plan.Input)
		want bool
	}{
		{"a dead control plane of three is replaced", replaced, true},
		{"a dead one of three leaves with one that is well", func(in *plan.Input) {
			in.Cluster.Hosts = slices.Delete(in.Cluster.Hosts, 1, 3)
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3", Problem: "no answer"}}
			in.Leaving = []plan.Leaving{{Name: "cp2", ControlPlane: true}, {Name: "cp3", ControlPlane: true}}
		}, true},
		{"one is added to three that are well", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members[2].Name = "cp4"
		}, false},
		{"the only one gets others", func(in *plan.Input) {
			in.Facts["cp2"].Receipts, in.Facts["cp3"].Receipts = nil, nil
			in.State.Members = in.State.Members[:1]
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			c.edit(&in)
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			needs := map[string][]string{}
			for _, s := range graph.Steps {
				for _, n := range s.Needs {
					needs[s.ID] = append(needs[s.ID], n.Step)
				}
			}
			for _, of := range []string{plan.StepPrepare, plan.StepLeaveMember} {
				if slices.Contains(needs[of], plan.StepCPReturn) && c.want {
					t.Errorf("%s waits for control planes to be restarted", of)
				}
			}
			if got := slices.Contains(needs[plan.StepCPUpdate], plan.StepControlPlane) || slices.Contains(needs[plan.StepCPUpdate], plan.StepLeaveMember); got != c.want {
				t.Errorf("static pods are exchanged after members have come and gone: %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnUpgradeThatCannotReplaceControlPlanesSaysHowItIsDoneInTwoEdits(t *testing.T) {
	in := running(t, "v1.35.4")
	in.Facts["cp3"].Receipts = nil
	delete(in.State.APIServers, "cp3")
	in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
	in.Leaving = []plan.Leaving{{Name: "old", ControlPlane: true, Orphan: true}}
	_, err := plan.Converge(in)
	if err == nil || !strings.Contains(err.Error(), "put the version back to v1.35.4") {
		t.Errorf("got %v", err)
	}
}

func TestTheUpgradeGraphOfARunningClusterIsAsWrittenDown(t *testing.T) {
	in := running(t, "v1.35.4")
	in.Backup.Name, in.Backup.Recipient = "backup", "age1"
	in.Leaving = []plan.Leaving{{Name: "gone", ControlPlane: true, Orphan: true}, {Name: "w9"}}
	in.State.Members = append(in.State.Members, plan.Member{Name: "gone", Problem: "no answer"})
	in.SpecDigest = "sha256:0"
	graph, err := plan.Converge(in)
	if err != nil {
		t.Fatal(err)
	}
	plantest.Golden(t, *update, "upgrade-3-1.txt", []byte(describe(graph.Steps)))
}

func TestAWorkerAddedToAClusterThatIsKnownToBeAsWantedTouchesNobodyElse(t *testing.T) {
	for _, workers := range []int{3, 40} {
		in, err := plantest.Input(3, workers)
		if err != nil {
			t.Fatal(err)
		}
		in.Scope, in.Via = []string{"w1"}, "cp2"
		in.State.Nodes = map[string]plan.Node{"cp2": {Kubelet: "v1.36.3", Ready: true}}
		for name := range in.Facts {
			if name != "w1" && name != "cp2" {
				delete(in.Facts, name)
			}
		}
		graph, err := plan.Converge(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range graph.Steps {
			for _, h := range s.Hosts {
				if h != "w1" && h != "cp2" {
					t.Errorf("in a cluster of %d workers %s runs on %s", workers, s.ID, h)
				}
				if h == "cp2" && len(s.Resources[h]) > 0 && s.ID != plan.StepSnapshot {
					t.Errorf("%s places something on the control plane", s.ID)
				}
			}
		}
	}
}

// without makes the release of an input lack files and images, for one platform or, if that is empty, at all.
func without(in *plan.Input, platform string, names ...string) {
	r := *in.Cluster.Release
	r.Files = slices.DeleteFunc(slices.Clone(r.Files), func(f bundle.File) bool {
		return slices.Contains(names, f.Name) && (platform == "" || f.Platform == platform)
	})
	r.Images = slices.Clone(r.Images)
	for i := range r.Images {
		r.Images[i].Platforms = slices.DeleteFunc(slices.Clone(r.Images[i].Platforms), func(p bundle.ImagePlatform) bool {
			return slices.Contains(names, r.Images[i].Component) && p.Platform == platform
		})
	}
	r.Images = slices.DeleteFunc(r.Images, func(i bundle.Image) bool { return platform == "" && slices.Contains(names, i.Component) })
	release(in, &r)
}

// release gives the cluster and every host whose kubelet is the cluster's another release.
func release(in *plan.Input, r *bundle.Release) {
	for i := range in.Cluster.Hosts {
		if in.Cluster.Hosts[i].Kubelet == in.Cluster.Release {
			in.Cluster.Hosts[i].Kubelet = r
		}
	}
	in.Cluster.Release = r
}

// forARM makes the release one for arm64 too, and hosts such machines.
func forARM(in *plan.Input, hosts ...string) {
	const platform = "linux/arm64"
	r := *in.Cluster.Release
	r.Platforms = append(slices.Clone(r.Platforms), platform)
	for _, f := range in.Cluster.Release.Files {
		f.Platform = platform
		r.Files = append(slices.Clone(r.Files), f)
	}
	r.Images = slices.Clone(r.Images)
	for i := range r.Images {
		p := r.Images[i].Platforms[0]
		p.Platform = platform
		r.Images[i].Platforms = append(slices.Clone(r.Images[i].Platforms), p)
	}
	release(in, &r)
	for _, h := range hosts {
		in.Facts[h].Platform = platform
	}
}

func TestABundleThatLacksWhatAHostNeedsIsRefusedWithEverythingThatIsLacking(t *testing.T) {
	const arm = "linux/arm64"
	for _, c := range []struct {
		name string
		edit func(*plan.Input)
		// says is nothing where the bundle is good enough.
		says []string
	}{
		{"a bundle with everything for hosts of two platforms", func(in *plan.Input) { forARM(in, "w1") }, nil},
		{"runc is not there for the platform of one host", func(in *plan.Input) {
			forARM(in, "w1")
			without(in, arm, "runc")
		}, []string{"host w1 is linux/arm64; the bundle test holds no file runc for it", "bundle inspect"}},
		{"what is not there for a platform that no host has", func(in *plan.Input) {
			forARM(in)
			without(in, arm, "runc", "kubelet", "pause")
		}, nil},
		{"an image is not there for the platform of one host", func(in *plan.Input) {
			forARM(in, "w1")
			without(in, arm, "kube-proxy")
		}, []string{"host w1 is linux/arm64; the bundle test holds no image registry.k8s.io/kube-proxy:test for it"}},
		{"a release without kubeadm, kubelet and the API server's image", func(in *plan.Input) {
			without(in, "", "kubeadm", "kubelet", "kube-apiserver")
		}, []string{"hosts cp1, cp2, cp3 are linux/amd64; the bundle test holds no file kubeadm, no file kubelet, no image of kube-apiserver for them",
			"host w1 is linux/amd64; the bundle test holds no file kubeadm, no file kubelet for it"}},
		{"everything is not there for hosts that nothing was built for", func(in *plan.Input) {
			for _, h := range []string{"cp3", "w1"} {
				in.Facts[h].Platform = "linux/riscv64"
			}
		}, []string{"host cp3 is linux/riscv64", "file etcdctl", "host w1 is linux/riscv64", "file containerd,", "file haproxy", "file ld.so", "file loopback", "image registry.k8s.io/pause:test"}},
		{"the same file as another kind, which goes elsewhere on hosts", func(in *plan.Input) {
			r := *in.Cluster.Release
			r.Files = slices.Clone(r.Files)
			for i := range r.Files {
				if r.Files[i].Name == "runc" {
					r.Files[i].Kind = bundle.FileTool
				}
			}
			release(in, &r)
		}, []string{"no file runc"}},
		{"a plugin of the pod network is not there", func(in *plan.Input) { without(in, "", "flannel") }, []string{"no file flannel, no image of flannel"}},
		{"no pod network is wanted of the bundle, and it has none", func(in *plan.Input) {
			in.Cluster.Network.CNI.Type = v1alpha1.NoCNI
			without(in, "", "flannel", "bridge", "host-local")
		}, nil},
		{"metrics-server is wanted and not there", func(in *plan.Input) { without(in, "", "metrics-server") }, []string{"no image of metrics-server"}},
		{"metrics-server is neither wanted nor there", func(in *plan.Input) {
			in.Cluster.MetricsServer = false
			without(in, "", "metrics-server")
		}, nil},
		{"the proxy is not there for workers, which an external endpoint spares it", func(in *plan.Input) {
			in.Cluster.Endpoint.Type = v1alpha1.ExternalEndpoint
			forARM(in, "w1")
			without(in, arm, "haproxy")
		}, nil},
		{"the proxy is not there for control planes, whose API servers need it for etcd", func(in *plan.Input) {
			in.Cluster.Endpoint.Type = v1alpha1.ExternalEndpoint
			without(in, "", "haproxy")
		}, []string{"hosts cp1, cp2, cp3 are linux/amd64; the bundle test holds no file haproxy for them"}},
		{"what the hostPorts of pods need is not there", func(in *plan.Input) { without(in, "", "nft", "portmap") },
			[]string{"hosts cp1, cp2, cp3, w1 are linux/amd64; the bundle test holds no file nft, no file portmap for them"}},
		{"what hostPorts need is not there, and the pod network is not ours", func(in *plan.Input) {
			in.Cluster.Network.CNI.Type = v1alpha1.NoCNI
			without(in, "", "nft", "portmap")
		}, nil},
		{"ip is not there, and one host has no default route", func(in *plan.Input) {
			for _, h := range []string{"cp1", "cp2", "cp3"} {
				in.Facts[h].DefaultRoute4 = "192.0.2.254"
			}
			without(in, "", "ip")
		}, []string{"host w1 is linux/amd64; the bundle test holds no file ip for it"}},
		{"etcd's programs and image are not there for workers, which need none", func(in *plan.Input) {
			forARM(in, "w1")
			without(in, arm, "etcdctl", "etcdutl", "kubectl", "etcd", "kube-apiserver")
		}, nil},
		{"a pool keeps a kubelet that no bundle needs to hold", func(in *plan.Input) {
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", nil
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.35.4", Ready: true}
		}, nil},
		{"the older kubelet of a pool is not there for its hosts", func(in *plan.Input) {
			older := plantest.Release()
			older.KubernetesVersion = "v1.35.4"
			older.Files = slices.DeleteFunc(older.Files, func(f bundle.File) bool { return f.Name == "kubelet" })
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", older
		}, []string{"host w1 is linux/amd64; the bundle test holds no file kubelet for it"}},
		{"a host that lacks something is not looked at", func(in *plan.Input) {
			in.Scope, in.Via = []string{"w1"}, "cp1"
			in.Facts["cp3"].Platform = "linux/riscv64"
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			c.edit(&in)
			graph, err := plan.Converge(in)
			if c.says == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			refused, ok := errors.AsType[*plan.RefusedError](err)
			if !ok || refused.Reason != plan.RefusedContentNotInBundle || graph != nil {
				t.Fatalf("got %v and a graph %v", err, graph != nil)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it does not say %q: %v", text, err)
				}
			}
		})
	}
}
