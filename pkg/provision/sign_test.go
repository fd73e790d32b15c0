package provision

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/layout"
	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

func TestAHostIsGivenTheIdentityOfItsOwnNodeAndOnlyWhileThatIsNotInService(t *testing.T) {
	inService := true
	for name, c := range map[string]struct {
		host string
		// node is whether the cluster has the host's node Ready; nil for no node.
		node *bool
		// refused is what the error says.
		refused string
	}{
		"a host that joins": {host: "w2"},
		"a host whose node is there and has fallen silent":           {host: "w2", node: new(bool)},
		"a host that hides that it has joined, and whose node works": {host: "w1", node: &inService, refused: "the cluster has a Ready node of that name"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAddition(t, 4)
			a.joins = "w2"
			a.silentAfter = 10 * time.Millisecond
			if c.host == "w1" {
				a.machines["w1"].forget(t)
			}
			a.record(t, "sha256:another")
			if c.node != nil {
				a.setNode(t, c.host, *c.node)
			}
			graph, bound := a.bind(t)
			if err := applyStep(t, bound, plan.StepContent, c.host); err != nil {
				t.Fatal(err)
			}
			err := applyStep(t, bound, plan.StepKubelet, c.host)
			placed := a.machines[c.host].host.Read(layout.KubeletClientPEM)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "kubectl delete node "+c.host) {
					t.Errorf("got %v, want a refusal that says %q and what to do", err, c.refused)
				}
				a.machines[c.host].with(func() {
					if len(planted.In(a.machines[c.host].received.Bytes(), planted.PrivateKey())) > 0 {
						t.Error("a private key was sent to it all the same")
					}
				})
				if placed != "" {
					t.Error("an identity was placed on it all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cert := certificate(t, placed); cert.Subject.CommonName != "system:node:"+c.host || strings.Join(cert.Subject.Organization, ",") != "system:nodes" {
				t.Errorf("it was given the identity %s", cert.Subject)
			}
			for _, s := range graph.Steps {
				for host, resources := range s.Resources {
					for _, r := range resources {
						if r.File != nil && bytes.Contains(r.File.Content, []byte("kubelet")) && len(planted.In(r.File.Content, planted.PrivateKey())) > 0 {
							t.Errorf("the plan itself holds a key for %s in %s", host, r.ID)
						}
					}
				}
			}
		})
	}
}

// A host whose join waits behind a rollout of half a day gets an identity that is as good as if it had joined at once.
func TestAnIdentityIsSignedWhenTheHostJoinsAndNotWhenThatIsPlanned(t *testing.T) {
	clock := &stopped{at: time.Now()}
	a := newAddition(t, 4)
	a.kube.now = clock.now
	a.record(t, "sha256:another")
	_, bound := a.bind(t)
	clock.move(12 * time.Hour)
	for _, step := range []string{plan.StepContent, plan.StepKubelet} {
		if err := applyStep(t, bound, step, a.joins); err != nil {
			t.Fatal(err)
		}
	}
	cert := certificate(t, a.machines[a.joins].host.Read(layout.KubeletClientPEM))
	// Certificates are backdated a little, for clocks that lag behind.
	if age := clock.now().Sub(cert.NotBefore); age < 0 || age > time.Hour {
		t.Errorf("its identity is %s old when it joins", age)
	}
	if left := cert.NotAfter.Sub(clock.now()); left < 300*24*time.Hour {
		t.Errorf("it is good for %s more", left)
	}
}

// Applying again sends no key that the host has.
func TestAHostThatHasItsIdentitiesIsSentNoOther(t *testing.T) {
	a := newAddition(t, 4)
	a.record(t, "sha256:another")
	_, bound := a.bind(t)
	for _, step := range []string{plan.StepContent, plan.StepKubelet} {
		if err := applyStep(t, bound, step, a.joins); err != nil {
			t.Fatal(err)
		}
	}
	before := a.machines[a.joins].host.Read(layout.KubeletClientPEM)
	a.machines[a.joins].host.Write(t, layout.UnitDir+"/kubelet.service", "changed by hand\n")
	a.machines[a.joins].with(a.machines[a.joins].received.Reset)
	if err := applyStep(t, bound, plan.StepKubelet, a.joins); err != nil {
		t.Fatal(err)
	}
	if after := a.machines[a.joins].host.Read(layout.KubeletClientPEM); after != before || after == "" {
		t.Error("its identity was exchanged")
	}
	a.machines[a.joins].with(func() {
		if len(planted.In(a.machines[a.joins].received.Bytes(), planted.PrivateKey())) > 0 {
			t.Error("it was sent a key that it has")
		}
	})
}

func TestTheRightsOfBootstrapTokensAreWithdrawnAndNoOthers(t *testing.T) {
	binding := func(name string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	const rotation = "kubeadm:node-autoapprove-certificate-rotation"
	a := newAddition(t, 4)
	graph, _ := a.bind(t)
	k := a.kube
	k.client = fakeclient.NewClientBuilder().WithObjects(binding("kubeadm:kubelet-bootstrap"), binding("kubeadm:node-autoapprove-bootstrap"), binding(rotation)).Build()
	var withdraw plan.Withdraw
	for _, s := range graph.Steps {
		if a, ok := s.Action.(plan.Withdraw); ok {
			withdraw = a
		}
	}
	if v, err := k.checkWithdrawn(t.Context(), withdraw); err != nil || v.State != engine.Needed || len(v.Why) != 2 {
		t.Fatalf("before: %+v %v", v, err)
	}
	if err := k.withdraw(t.Context(), withdraw); err != nil {
		t.Fatal(err)
	}
	if v, err := k.checkWithdrawn(t.Context(), withdraw); err != nil || v.State != engine.Done {
		t.Errorf("after: %+v %v", v, err)
	}
	left := &rbacv1.ClusterRoleBindingList{}
	if err := k.client.List(t.Context(), left); err != nil || len(left.Items) != 1 || left.Items[0].Name != rotation {
		t.Errorf("left are %v %v", left.Items, err)
	}
}

// setNode makes the cluster have the node of a host.
func (a *addition) setNode(t *testing.T, name string, ready bool) {
	t.Helper()
	status := corev1.ConditionUnknown
	if ready {
		status = corev1.ConditionTrue
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	// It may be there from before.
	_ = a.kube.client.Delete(t.Context(), node.DeepCopy())
	if err := a.kube.client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}

// applyStep carries one step out on one host: check, apply, check again.
func applyStep(t *testing.T, bound engine.Graph, id, host string) error {
	t.Helper()
	for _, s := range bound.Steps {
		if s.ID != id {
			continue
		}
		if _, err := s.Check(t.Context(), host); err != nil {
			return err
		}
		if err := s.Apply(t.Context(), host, func(string) {}); err != nil {
			return err
		}
		v, err := s.Check(t.Context(), host)
		if err == nil && v.State != engine.Done {
			t.Errorf("step %s is %v after it was applied", id, v)
		}
		return err
	}
	t.Fatalf("there is no step %s", id)
	return nil
}

func certificate(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no certificate in %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
