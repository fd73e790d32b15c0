package proxy_test

import (
	"flag"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/proxy"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestAControlPlanePrefersItselfAndLeadsToMembersElsewhereAndAWorkerSpreads(t *testing.T) {
	in, err := plantest.Input(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, all := in.Cluster, in.Cluster.ControlPlanes()
	plantest.Golden(t, *update, "control-plane.cfg", proxy.Config(c.Endpoint, all, "cp2"))
	plantest.Golden(t, *update, "single-control-plane.cfg", proxy.Config(c.Endpoint, all[:1], "cp1"))
	plantest.Golden(t, *update, "worker.cfg", proxy.Config(c.Endpoint, all, "w1"))
	external := desired.Endpoint{Type: v1alpha1.ExternalEndpoint, Host: "192.0.2.100", Port: 6443}
	plantest.Golden(t, *update, "external-endpoint.cfg", proxy.Config(external, all, "cp2"))
}
