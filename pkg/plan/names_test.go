package plan_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
)

func TestHostsAndClusterDNSAreToldWhatNamesAreResolvedWith(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*plan.Input)
		// forward is where cluster DNS forwards to, patch what kubelet of w1 has differently.
		forward, patch string
	}{
		"hosts with name servers": {func(*plan.Input) {}, "", "{}"},
		"no host has any": {func(in *plan.Input) {
			for _, f := range in.Facts {
				f.Nameservers = nil
			}
		}, "none", "{}"},
		"no host has the file": {func(in *plan.Input) {
			for _, f := range in.Facts {
				f.Nameservers, f.ResolvConfMissing = nil, true
			}
		}, "none", `{"resolvConf":""}`},
		"only the worker runs systemd-resolved": {func(in *plan.Input) {
			f := in.Facts["w1"]
			f.Resolved, f.ResolvedNameservers = true, f.Nameservers
		}, "", `{"resolvConf":"/run/systemd/resolve/resolv.conf"}`},
		"the spec names servers": {func(in *plan.Input) {
			in.Cluster.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.1"}}
		}, "192.0.2.1", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := plantest.Input(1, 1)
			if err != nil {
				t.Fatal(err)
			}
			test.change(&in)
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range graph.Steps {
				if a, ok := s.Action.(plan.Configure); ok && (a.Forward == nil || a.Forward.String() != test.forward) {
					t.Errorf("cluster DNS forwards to %v, want %q", a.Forward, test.forward)
				}
				if s.ID != plan.StepJoin {
					continue
				}
				for _, f := range s.Resources["w1"][0].Command.Files {
					if strings.HasSuffix(f.Path, "kubeletconfiguration0+merge.json") && string(f.Content) != test.patch {
						t.Errorf("kubelet of w1 is told %s, want %s", f.Content, test.patch)
					}
				}
			}
			if in.Cluster.Hosts[1].ResolvConf != nil {
				t.Error("the cluster that was planned for was changed")
			}
		})
	}
}
