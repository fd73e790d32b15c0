package provision

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

func TestALiveClusterIsNeverInitialisedAgain(t *testing.T) {
	blank := func() *hostapi.Facts { return &hostapi.Facts{} }
	withData := func() *hostapi.Facts {
		return &hostapi.Facts{Paths: []hostapi.PathFact{{Path: "/etc/kubernetes"}, {Path: "/var/lib/etcd/member"}}}
	}
	ours := func() *hostapi.Facts { return &hostapi.Facts{Owner: &hostapi.Owner{ClusterUID: "1"}} }
	for _, c := range []struct {
		name        string
		initialised bool
		facts       map[string]*hostapi.Facts
		// says is a text of the refusal; empty for none.
		says string
	}{
		{"blank machines may become a cluster", false, map[string]*hostapi.Facts{"cp1": blank(), "cp2": blank()}, ""},
		{"another control plane with etcd data is a cluster", false, map[string]*hostapi.Facts{"cp1": blank(), "cp2": withData()}, "host cp2 already holds etcd data"},
		{"that one was claimed by us changes nothing", true, map[string]*hostapi.Facts{"cp1": ours(), "cp2": withData()}, "host cp2 already holds etcd data"},
		{"the host's own data is what a first attempt has left", false, map[string]*hostapi.Facts{"cp1": withData(), "cp2": blank()}, ""},
		{"data of a worker is no cluster's", false, map[string]*hostapi.Facts{"cp1": blank(), "cp2": blank(), "w1": withData()}, ""},
		{"a control plane that was not reached shows no data", false, map[string]*hostapi.Facts{"cp1": blank()}, ""},
		{"a cluster that was initialised is not begun on a machine that was no part of it", true, map[string]*hostapi.Facts{"cp1": blank(), "cp2": blank()}, "this host was not part of it"},
		{"an attempt that was cut off goes on where it began", true, map[string]*hostapi.Facts{"cp1": ours(), "cp2": blank()}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &execution{facts: c.facts, desired: &desired.Cluster{Initialized: c.initialised, Hosts: []desired.Host{
				{Name: "cp1", Role: v1alpha1.ControlPlaneRole}, {Name: "cp2", Role: v1alpha1.ControlPlaneRole}, {Name: "w1", Role: v1alpha1.WorkerRole},
			}}}
			err := x.guardNotInitialised("cp1")
			if c.says == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want a refusal that says %q", err, c.says)
			}
		})
	}
}
