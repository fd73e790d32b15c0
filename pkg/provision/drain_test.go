package provision

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// drained is a cluster of one node with one pod, whose API answers evictions as a test says.
type drained struct {
	*kube
	pods *fake.Clientset

	mu      sync.Mutex
	evicted int
	said    []string
}

// newDrained makes n1 run the pod web/web-1, which a budget guards. answer is asked at each eviction; nil moves the pod away.
func newDrained(node *corev1.Node, answer func(try int) error) *drained {
	web := map[string]string{"app": "web"}
	d := &drained{pods: fake.NewClientset(
		node.DeepCopy(),
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "web-1", UID: "1", Labels: web}, Spec: corev1.PodSpec{NodeName: "n1"}},
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "always"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: web}}},
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "of-others"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}},
	)}
	d.pods.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods/eviction", Kind: "Eviction", Group: "policy", Version: "v1"}}}}
	d.pods.PrependReactor("create", "pods/eviction", func(clienttesting.Action) (bool, runtime.Object, error) {
		d.mu.Lock()
		d.evicted++
		try := d.evicted
		d.mu.Unlock()
		if err := answer(try); err != nil {
			return true, nil, err
		}
		return true, nil, d.pods.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "web", "web-1")
	})
	d.kube = &kube{config: &rest.Config{}, cluster: &desired.Cluster{Hosts: []desired.Host{{Name: node.Name}}}, clientset: d.pods, client: fakeclient.NewClientBuilder().WithObjects(node).Build()}
	return d
}

func (d *drained) drain(t *testing.T, policy v1alpha1.DrainTimeoutPolicy) error {
	t.Helper()
	a := plan.Drain{Policy: v1alpha1.Drain{Timeout: v1alpha1.Duration{Duration: time.Minute}, OnTimeout: policy}}
	return d.applyDrain(t.Context(), a, "n1", "demo-upgrade-g2-1", func(line string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.said = append(d.said, line)
	})
}

// node reads the node as it is now.
func (d *drained) node(t *testing.T) *corev1.Node {
	t.Helper()
	node := &corev1.Node{}
	if err := d.client.Get(t.Context(), client.ObjectKey{Name: "n1"}, node); err != nil {
		t.Fatal(err)
	}
	return node
}

func (d *drained) podIsThere(t *testing.T) bool {
	t.Helper()
	_, err := d.pods.CoreV1().Pods("web").Get(t.Context(), "web-1", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func plainNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
}

func budgetSaysNo(int) error {
	return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
}

func TestADrainWhoseTimeIsOverNamesPodsAndBudgetAndLetsTheNodeTakePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrained(plainNode(), budgetSaysNo)
		began := time.Now()
		err := d.drain(t, v1alpha1.AbortDrain)
		if engine.KindOf(err) != engine.KindNeedsHuman || engine.DetailOf(err).Reason != "DrainTimeout" {
			t.Fatalf("got %v", err)
		}
		for _, text := range []string{"1 pods could not be moved away within 1m0s: web/web-1, guarded by PodDisruptionBudget web/always (allows 0 disruptions);", "takes pods again"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v does not say %q", err, text)
			}
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+2*evictAgain {
			t.Errorf("it took %s", took)
		}
		if d.evicted > 14 {
			t.Errorf("the pod was evicted %d times in a minute", d.evicted)
		}
		if node := d.node(t); node.Spec.Unschedulable || node.Annotations[v1alpha1.CordonedByAnnotation] != "" || !d.podIsThere(t) {
			t.Errorf("the node is left as %+v %+v", node.Spec, node.Annotations)
		}
	})
}

func TestADrainThatMayForceDeletesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrained(plainNode(), budgetSaysNo)
		if err := d.drain(t, v1alpha1.ForceDrain); err != nil {
			t.Fatal(err)
		}
		if node := d.node(t); !node.Spec.Unschedulable || node.Annotations[v1alpha1.CordonedByAnnotation] != "demo-upgrade-g2-1" {
			t.Errorf("the node is left as %+v %+v", node.Spec, node.Annotations)
		}
		if d.podIsThere(t) || !slices.ContainsFunc(d.said, func(line string) bool { return strings.Contains(line, "deleting 1 pods against their budgets") }) {
			t.Errorf("the pod is there: %t; it said %q", d.podIsThere(t), d.said)
		}
	})
}

func TestAnAPIServerThatFailsOnceIsAskedAgainAndIsNoTimeout(t *testing.T) {
	for name, failure := range map[string]error{
		"etcd changes its leader": apierrors.NewInternalError(errors.New("etcdserver: leader changed")),
		"the connection is lost":  errors.New("read tcp: connection reset by peer"),
		"the API server is busy":  apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrained(plainNode(), func(try int) error {
					if try == 1 {
						return failure
					}
					return nil
				})
				began := time.Now()
				if err := d.drain(t, v1alpha1.AbortDrain); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); d.podIsThere(t) || took > 3*evictAgain {
					t.Errorf("the pod is there: %t, after %s", d.podIsThere(t), took)
				}
				if !d.node(t).Spec.Unschedulable {
					t.Error("the node takes pods before it was updated")
				}
				if !slices.ContainsFunc(d.said, func(line string) bool { return strings.Contains(line, failure.Error()) }) {
					t.Errorf("nobody was told: %q", d.said)
				}
			})
		})
	}
}

func TestAnAPIThatCannotSayWhatIsLeftIsAskedAnewWithTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrained(plainNode(), budgetSaysNo)
		d.pods.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("connection refused")
		})
		err := d.drain(t, v1alpha1.AbortDrain)
		if engine.KindOf(err) != engine.KindRetryable || err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
	})
}

func TestANodeThatAPersonCordonedStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := plainNode()
		node.Spec.Unschedulable = true
		d := newDrained(node, budgetSaysNo)
		if err := d.drain(t, v1alpha1.AbortDrain); engine.DetailOf(err).Reason != "DrainTimeout" {
			t.Fatalf("got %v", err)
		}
		if node := d.node(t); !node.Spec.Unschedulable || node.Annotations[v1alpha1.CordonedByAnnotation] != "" {
			t.Errorf("the node is left as %+v %+v", node.Spec, node.Annotations)
		}
	})
}

func TestNodesThatAnOperationLeftCordonedAreListed(t *testing.T) {
	node := func(name string, cordoned bool, by string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Unschedulable: cordoned}}
		if by != "" {
			n.Annotations = map[string]string{v1alpha1.CordonedByAnnotation: by}
		}
		return n
	}
	k := &kube{config: &rest.Config{}, client: fakeclient.NewClientBuilder().WithObjects(
		node("in-service", false, ""), node("by-a-person", true, ""), node("by-us", true, "demo-upgrade-g2-1"), node("uncordoned-by-a-person", false, "demo-upgrade-g2-1")).Build()}
	if left := k.stillCordoned(t.Context()); !slices.Equal(left, []string{"by-us"}) {
		t.Errorf("got %v", left)
	}
	outcome := Outcome{Cordoned: []string{"n4", "n5"}}
	if note := outcome.CordonNote(); !strings.HasPrefix(note, "still taking no pods: n4, n5; ") {
		t.Errorf("it says %q", note)
	}
	outcome.Cordoned = []string{"1", "2", "3", "4", "5", "6", "7"}
	if note := outcome.CordonNote(); !strings.HasPrefix(note, "still taking no pods: 1, 2, 3, 4, 5 and 2 more; ") {
		t.Errorf("of many it says %q", note)
	}
	if note := (&Outcome{}).CordonNote(); note != "" {
		t.Errorf("without such a node it says %q", note)
	}
}
