package provision

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
)

func TestAResetDealsWithTheHostsThatAreHeldWhateverTheSpecSays(t *testing.T) {
	host := func(name string, policy v1alpha1.RemovalPolicy) HostAccess {
		access := HostAccess{}
		access.Host.Name, access.Host.Spec.Address, access.Host.Spec.OnRemoval = name, "192.0.2.1", policy
		return access
	}
	reset, orphan := v1alpha1.ResetOnRemoval, v1alpha1.OrphanOnRemoval
	for _, c := range []struct {
		name string
		// spec names the hosts of the spec; it must not matter.
		spec      []string
		hosts     []HostAccess
		leaving   []string
		failed    []string
		contacted []string
		done      map[string]RemovedHost
	}{
		{
			name: "all hosts of the spec are reset", spec: []string{"n1", "n2"}, hosts: []HostAccess{host("n1", reset), host("n2", reset)},
			leaving: []string{"n1", "n2"}, contacted: []string{"n1", "n2"}, done: map[string]RemovedHost{"n1": {Cleaned: true}, "n2": {Cleaned: true}},
		},
		{
			name: "a host that left the spec and could not be removed is reset", spec: []string{"n1"}, hosts: []HostAccess{host("n1", reset), host("n2", reset)},
			leaving: []string{"n1", "n2"}, contacted: []string{"n1", "n2"}, done: map[string]RemovedHost{"n1": {Cleaned: true}, "n2": {Cleaned: true}},
		},
		{
			name: "a host of the spec that is not held is left alone", spec: []string{"n1", "gone"}, hosts: []HostAccess{host("n1", reset)},
			leaving: []string{"n1"}, contacted: []string{"n1"}, done: map[string]RemovedHost{"n1": {Cleaned: true}},
		},
		{
			name: "an Orphan is not contacted, and is done with", spec: []string{"n1", "n2"}, hosts: []HostAccess{host("n1", reset), host("n2", orphan)},
			leaving: []string{"n1", "n2"}, contacted: []string{"n1"}, done: map[string]RemovedHost{"n1": {Cleaned: true}, "n2": {}},
		},
		{
			name: "a host that could not be cleaned stays", spec: []string{"n1", "n2"}, hosts: []HostAccess{host("n1", reset), host("n2", reset)},
			leaving: []string{"n1", "n2"}, failed: []string{"n2"}, contacted: []string{"n1", "n2"}, done: map[string]RemovedHost{"n1": {Cleaned: true}},
		},
		{
			name: "a bastion is not reset", spec: []string{"n1"}, hosts: []HostAccess{host("bastion", reset), host("n1", reset)},
			leaving: []string{"n1"}, contacted: []string{"n1"}, done: map[string]RemovedHost{"n1": {Cleaned: true}},
		},
		{name: "nothing is held", spec: []string{"n1"}, done: map[string]RemovedHost{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := Request{Hosts: c.hosts, Leaving: c.leaving}
			request.Cluster.Spec.ControlPlane.Hosts = c.spec
			leaving, err := leavingHosts(request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.contacted, contacted(leaving)); diff != "" {
				t.Errorf("contacted (-want +have):\n%s", diff)
			}
			done := taken(leaving, func(host string) bool { return !slices.Contains(c.failed, host) })
			if diff := cmp.Diff(c.done, done); diff != "" {
				t.Errorf("done with (-want +have):\n%s", diff)
			}
		})
	}
}

func TestAResetTakesTheHelperOutOfWhateverTheBundleHolds(t *testing.T) {
	for _, c := range []struct {
		name, version string
		held          []string
		want          string
	}{
		{"the version of the spec comes first", "v1.35.4", []string{"v1.34.4", "v1.35.4", "v1.36.3"}, "v1.35.4"},
		{"the newest does when the spec names another", "v1.99.0", []string{"v1.35.4", "v1.36.3"}, "v1.36.3"},
		{"an empty bundle is refused", "v1.36.3", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := &v1alpha1.Cluster{}
			cluster.Name, cluster.UID, cluster.Spec.Version = "demo", "demo-uid", c.version
			cluster.Spec.ControlPlane.Hosts = []string{"there-is-no-such-host"}
			var held []bundle.Release
			for _, version := range c.held {
				held = append(held, bundle.Release{KubernetesVersion: version})
			}
			found, err := undone(cluster, held)
			if c.want == "" {
				if err == nil {
					t.Fatal("it was taken")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if found.Release.KubernetesVersion != c.want || found.Name != "demo" || found.UID != "demo-uid" {
				t.Errorf("have %s of cluster %s (uid %s), want %s", found.Release.KubernetesVersion, found.Name, found.UID, c.want)
			}
		})
	}
}
