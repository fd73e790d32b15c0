package provision

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubewright/kubewright/pkg/testenv"
)

// The API server is a real one; the kubelets are users of the same names.
func TestAMachineThatLeftDirtyIsNoNodeAgainUntilItJoinsAgain(t *testing.T) {
	environment := testenv.New(t)
	k := &kube{config: environment.Config}
	as := func(node string) kubernetes.Interface {
		config := rest.CopyConfig(environment.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + node, Groups: []string{"system:masters"}}
		clients, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return clients
	}
	register := func(node string) error {
		_, err := as(node).CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	// A policy takes effect a moment after it was written.
	await := func(what string, is func() bool) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for !is() {
			select {
			case <-deadline:
				t.Fatalf("%s, after 30s", what)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}

	if is, err := k.refused(t.Context(), "n2"); is || err != nil {
		t.Fatalf("a node is refused before anybody asked for it: %t, %v", is, err)
	}
	if err := register("n2"); err != nil {
		t.Fatalf("register a node: %v", err)
	}
	for range 2 { // an attempt that is repeated finds its own traces
		if err := k.refuseNode(t.Context(), "n2"); err != nil {
			t.Fatal(err)
		}
	}
	k.forgetRefused()
	await("the node can still register", func() bool {
		err := register("n2")
		return apierrors.IsInvalid(err) && strings.Contains(err.Error(), "its machine was not cleaned")
	})
	if _, err := as("n2").CoreV1().Events("default").Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}); err == nil {
		t.Error("it can still write events")
	}
	if err := register("n3"); err != nil {
		t.Errorf("another node is refused as well: %v", err)
	}
	if is, err := k.refused(t.Context(), "n2"); !is || err != nil {
		t.Errorf("it is not known to be refused: %t, %v", is, err)
	}
	if err := k.admitNode(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	await("the node is still refused", func() bool { return register("n2") == nil })
}
