package proxy_test

import (
	"flag"
	"testing"

	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/proxy"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestAControlPlanePrefersItselfAndAWorkerSpreads(t *testing.T) {
	in, err := plantest.Input(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := in.Cluster
	plantest.Golden(t, *update, "control-plane.cfg", proxy.Config(c.Endpoint, c.ControlPlanes(), "cp2"))
	plantest.Golden(t, *update, "worker.cfg", proxy.Config(c.Endpoint, c.ControlPlanes(), "w1"))
}
