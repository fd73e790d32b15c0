package provision

import (
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

// What a host is sent is read whole: the cluster's authorities, which every control plane holds, and every identity that would be signed.
func TestNoHostReceivesASecretFromARunThatOnlyLooks(t *testing.T) {
	authorities := plantest.Authorities()
	secrets := []planted.Secret{planted.PrivateKey()}
	for name, key := range map[string][]byte{
		"ca.key": authorities.Cluster.Key, "etcd/ca.key": authorities.Etcd.Key, "front-proxy-ca.key": authorities.FrontProxy.Key, "sa.key": authorities.ServiceAccount.Key,
	} {
		secrets = append(secrets, planted.Secret{Name: name, Value: key})
	}
	for name, c := range map[string]struct {
		operation v1alpha1.OperationType
		// hides is set when a joined worker says that it never joined.
		hides bool
	}{
		"a plan, and one that waits for approval": {operation: v1alpha1.ScaleOperation},
		"a Check": {operation: v1alpha1.CheckOperation},
		"a Check of a worker that hides that it has joined":   {operation: v1alpha1.CheckOperation, hides: true},
		"a plan for a worker that hides that it has joined":   {operation: v1alpha1.ConfigureOperation, hides: true},
		"what an attempt compares before it changes anything": {operation: v1alpha1.ConfigureOperation},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAddition(t, 4)
			a.request.Operation.Spec.Type = c.operation
			a.record(t, "sha256:another") // so that all hosts are looked at
			if c.hides {
				a.machines["w1"].forget(t)
			}
			_, bound := a.bind(t)
			// What is asked of the cluster's API is left out: it goes through connections to hosts, but they cannot read it.
			if _, err := engine.Run(t.Context(), bound, engine.Options{Mode: engine.ModePlan, Skip: []string{"cluster", "etcd", "control-plane/return", "worker/return", "leave"}}); err != nil {
				t.Log("the plan ended with", err)
			}
			for host, m := range a.machines {
				m.with(func() {
					if m.received.Len() == 0 {
						t.Errorf("%s was sent nothing, so nothing was looked at", host)
					}
					for _, found := range planted.In(m.received.Bytes(), secrets...) {
						t.Errorf("%s received %s", host, found)
					}
				})
			}
		})
	}
}
