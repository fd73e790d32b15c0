package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubectl/pkg/drain"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// checkDrain says whether a node is free of pods that can be moved. One that leaves, and is not there or not Ready, has none worth
// waiting for.
func (k *kube) checkDrain(ctx context.Context, a plan.Drain, host string) (engine.Verdict, error) {
	node, err := k.freshNode(ctx, host)
	switch {
	case err != nil:
		return unknown(err), nil
	case node == nil && a.Gone, node != nil && a.Gone && notReady(node) != "":
		return engine.Verdict{State: engine.Done}, nil
	case node == nil:
		return unknown(fmt.Errorf("the node is not registered")), nil
	case !node.Spec.Unschedulable:
		return needed("the node takes pods"), nil
	}
	pods, err := k.movable(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if len(pods) > 0 {
		return needed(fmt.Sprintf("%d pods have to move: %s", len(pods), names(pods))), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// evictAgain is how long a drain waits before it tries anew what was refused, by a PodDisruptionBudget or by the API server: as long as
// kubectl drain does.
const evictAgain = 5 * time.Second

// applyDrain makes the node unschedulable and evicts its pods. When that takes longer than the policy allows, the node either becomes
// schedulable again and the step fails, or what is left is deleted. Only the time decides about that: a question that an API server did not
// answer is asked again. No pod is moved while no controller manager leads, unless the policy is to force it.
func (k *kube) applyDrain(ctx context.Context, a plan.Drain, host, operation string, report func(string)) error {
	if err := k.cordon(ctx, host, operation); err != nil {
		return err
	}
	if err := k.ledDrain(ctx, a.Policy, host, report); err != nil {
		return err
	}
	late := k.evict(ctx, a.Policy, host, false, report)
	if late == nil || ctx.Err() != nil {
		return engine.Retryable(late)
	}
	left, err := k.movable(ctx, host)
	if err != nil {
		return engine.Retryable(errors.Join(late, err))
	}
	if len(left) == 0 {
		return nil
	}
	if a.Policy.OnTimeout == v1alpha1.ForceDrain {
		report(fmt.Sprintf("the time for eviction is over; deleting %d pods against their budgets", len(left)))
		return engine.Retryable(k.evict(ctx, a.Policy, host, true, report))
	}
	guarded := k.budgets(ctx, left)
	if err := k.uncordon(ctx, host); err != nil {
		return engine.Retryable(errors.Join(late, err))
	}
	return engine.NeedsHuman(engine.WithDetail(fmt.Errorf(
		"%d pods could not be moved away within %s: %s%s; the node takes pods again and was left as it was: "+
			"see what their PodDisruptionBudgets allow, raise spec.rollout.drain.timeout, or set spec.rollout.drain.onTimeout to Force (%w)",
		len(left), drainTimeout(a.Policy), names(left), guarded, late), engine.Detail{Reason: "DrainTimeout"}))
}

// ledDrain sees that somebody looks after the pods that are about to move. A node without any does not wait for that.
func (k *kube) ledDrain(ctx context.Context, policy v1alpha1.Drain, host string, report func(string)) error {
	if pods, err := k.movable(ctx, host); err != nil || len(pods) == 0 {
		return engine.Retryable(err)
	}
	err := k.awaitLeader(ctx, report)
	if !errors.Is(err, errNoLeader) {
		return engine.Retryable(err)
	}
	if policy.OnTimeout == v1alpha1.ForceDrain {
		report(err.Error() + "; the node is drained all the same")
		return nil
	}
	if undo := k.uncordon(ctx, host); undo != nil {
		return engine.Retryable(errors.Join(err, undo))
	}
	return engine.NeedsHuman(engine.WithDetail(fmt.Errorf(
		"%w after %s, so nobody would replace the pods of node %s; the node takes pods again and was left as it was: "+
			"see why kube-controller-manager does not run on any control plane, or set spec.rollout.drain.onTimeout to Force",
		err, leaderPatience, host), engine.Detail{Reason: "NoLeader"}))
}

// evict moves pods away and waits until they are gone. What fails on the way is tried again until the policy's time is over; the error says
// what it was at last.
func (k *kube) evict(ctx context.Context, policy v1alpha1.Drain, host string, force bool, report func(string)) error {
	bounded, cancel := context.WithTimeout(ctx, drainTimeout(policy))
	defer cancel()
	var last error
	for {
		err := k.evictOnce(bounded, policy, host, force, report)
		switch {
		case err == nil:
			return nil
		case bounded.Err() == nil:
			report(err.Error())
			last = err
		case last == nil:
			return err
		default:
			// What ended with the time says less than what failed before.
			return last
		}
		select {
		case <-bounded.Done():
			return last
		case <-time.After(evictAgain):
		}
	}
}

func (k *kube) evictOnce(ctx context.Context, policy v1alpha1.Drain, host string, force bool, report func(string)) error {
	helper, err := k.drainHelper(ctx, report)
	if err != nil {
		return err
	}
	helper.Timeout, helper.DisableEviction = drainTimeout(policy), force
	if err := k.moveDNS(ctx, helper, host, report); err != nil {
		return fmt.Errorf("move the cluster's DNS off node %s: %w", host, err)
	}
	list, errs := helper.GetPodsForDeletion(host)
	if len(errs) > 0 {
		return fmt.Errorf("list the pods of node %s: %w", host, errors.Join(errs...))
	}
	if err := helper.DeleteOrEvictPods(list.Pods()); err != nil {
		return fmt.Errorf("move the pods of node %s: %w", host, err)
	}
	return nil
}

// budgets names the PodDisruptionBudgets that guard pods, as a part of a sentence. When they cannot be listed the sentence goes without.
func (k *kube) budgets(ctx context.Context, pods []corev1.Pod) string {
	clientset, err := k.typed()
	if err != nil {
		return ""
	}
	list, err := clientset.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	guarding := guards(list.Items, pods)
	if len(guarding) == 0 {
		return ""
	}
	return ", guarded by PodDisruptionBudget " + strings.Join(guarding, ", ")
}

// guards lists the budgets that select any of the pods, with what they allow.
func guards(budgets []policyv1.PodDisruptionBudget, pods []corev1.Pod) []string {
	var list []string
	for i := range budgets {
		b := &budgets[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Namespace == b.Namespace && selector.Matches(labels.Set(p.Labels))
		}) {
			continue
		}
		list = append(list, fmt.Sprintf("%s/%s (allows %d disruptions)", b.Namespace, b.Name, b.Status.DisruptionsAllowed))
	}
	return list
}

// movable lists the pods a drain of the node would move: no static pods, none of DaemonSets.
func (k *kube) movable(ctx context.Context, host string) ([]corev1.Pod, error) {
	helper, err := k.drainHelper(ctx, func(string) {})
	if err != nil {
		return nil, err
	}
	list, errs := helper.GetPodsForDeletion(host)
	if len(errs) > 0 {
		return nil, fmt.Errorf("list the pods of node %s: %w", host, errors.Join(errs...))
	}
	return list.Pods(), nil
}

func (k *kube) drainHelper(ctx context.Context, report func(string)) (*drain.Helper, error) {
	clientset, err := k.typed()
	if err != nil {
		return nil, err
	}
	return &drain.Helper{
		Ctx: ctx, Client: clientset, GracePeriodSeconds: -1, IgnoreAllDaemonSets: true,
		// Pods without a controller and with data that lives only as long as they do are moved as well: an upgrade that stops for one of
		// them helps nobody, and whoever wants to be asked sets operationPolicy to Manual or guards them with a budget.
		Force: true, DeleteEmptyDirData: true,
		// Without it the library asks again at once, for as long as a budget says no.
		EvictErrorRetryDelay: evictAgain,
		Out:                  io.Discard, ErrOut: lines(report),
	}, nil
}

// lines hands what the drain library writes on as progress, line by line.
type lines func(string)

func (l lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if line = strings.TrimSpace(line); line != "" {
			l(line)
		}
	}
	return len(p), nil
}

func names(pods []corev1.Pod) string {
	const shown = 5
	var list []string
	for i, p := range pods {
		if i == shown {
			return strings.Join(list, ", ") + fmt.Sprintf(" and %d more", len(pods)-shown)
		}
		list = append(list, p.Namespace+"/"+p.Name)
	}
	return strings.Join(list, ", ")
}

// cordon makes a node unschedulable and notes who did it; one that a person cordoned keeps belonging to that person.
func (k *kube) cordon(ctx context.Context, host, operation string) error {
	node, err := k.freshNode(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	if node == nil || node.Spec.Unschedulable {
		return nil
	}
	return k.patchNode(ctx, node, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{v1alpha1.CordonedByAnnotation: operation}},
		"spec":     map[string]any{"unschedulable": true},
	})
}

// uncordon makes a node schedulable that an operation of ours cordoned.
func (k *kube) uncordon(ctx context.Context, host string) error {
	node, err := k.freshNode(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	if node == nil || node.Annotations[v1alpha1.CordonedByAnnotation] == "" {
		return nil
	}
	return k.patchNode(ctx, node, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{v1alpha1.CordonedByAnnotation: nil}},
		"spec":     map[string]any{"unschedulable": nil},
	})
}

func (k *kube) patchNode(ctx context.Context, node *corev1.Node, change map[string]any) error {
	patch, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("render the change of node %s: %w", node.Name, err)
	}
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	if err := objects.Patch(ctx, node, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return engine.Retryable(fmt.Errorf("change node %s: %w", node.Name, err))
	}
	k.forgetNodes()
	return nil
}

// checkReturn is done when the node is Ready with the wanted kubelet, which runs since then and is well, and takes pods again. On a control
// plane, whatever its kubelet has begun anew must run, its own API server answer at the wanted version, and its own member of etcd take part.
func (k *kube) checkReturn(ctx context.Context, a plan.Return, host string, since time.Time) (engine.Verdict, error) {
	node, err := k.node(ctx, host)
	switch {
	case err != nil:
		return unknown(err), nil
	case node == nil:
		return unknown(fmt.Errorf("the node is not registered")), nil
	case node.Status.NodeInfo.KubeletVersion != a.Version[host]:
		return unknown(fmt.Errorf("kubelet is %s, %s is wanted", node.Status.NodeInfo.KubeletVersion, a.Version[host])), nil
	case notReady(node) != "" && !onlyNetwork(node):
		return unknown(errors.New(notReady(node))), nil
	}
	asks, note := k.asksToServe(ctx, host)
	if err := k.kubeletServes(ctx, node, since); err != nil && !asks {
		return unknown(withNote(err, note)), nil
	}
	if a.APIServer != "" {
		version, err := k.versionOf(host)
		if err != nil {
			return unknown(fmt.Errorf("its API server does not answer: %w", err)), nil
		}
		if version != a.APIServer {
			return unknown(fmt.Errorf("its API server is %s, %s is wanted", version, a.APIServer)), nil
		}
		if err := k.staticPodsRun(ctx, host); err != nil {
			return unknown(err), nil
		}
		if err := k.apiServerReady(ctx, host); err != nil {
			return unknown(fmt.Errorf("its API server is not ready: %w", err)), nil
		}
		if err := k.memberServes(ctx, host); err != nil {
			return unknown(fmt.Errorf("its member of etcd does not answer: %w", err)), nil
		}
	}
	if asks {
		return asksForCertificate(), nil
	}
	if node.Annotations[v1alpha1.CordonedByAnnotation] != "" {
		return needed("the node was drained and takes no pods yet"), nil
	}
	return engine.Verdict{State: engine.Done, Note: note}, nil
}

// applyReturn has a node's kubelet given the serving certificate that it asks for, and the node take pods again.
func (k *kube) applyReturn(ctx context.Context, host string) error {
	if err := k.approveServing(ctx, host); err != nil {
		return err
	}
	return k.uncordon(ctx, host)
}

// onlyNetwork tells that all a node lacks is a pod network, which is somebody else's where none is installed.
func onlyNetwork(node *corev1.Node) bool {
	return strings.Contains(notReady(node), "cni plugin not initialized")
}

// stillCordoned lists nodes that operations of ours left unschedulable. An API server that does not answer is not waited for.
func (k *kube) stillCordoned(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var list []string
	err := k.eachNode(ctx, func(n *corev1.Node) {
		if n.Spec.Unschedulable && n.Annotations[v1alpha1.CordonedByAnnotation] != "" {
			list = append(list, n.Name)
		}
	})
	if err != nil {
		return nil
	}
	return list
}

// defaultDrainTimeout is what the API gives drains of which nothing is said.
const defaultDrainTimeout = 5 * time.Minute

func drainTimeout(policy v1alpha1.Drain) time.Duration { return policy.Timeout.Or(defaultDrainTimeout) }

// drainLimit is long enough for the policy's own time to run out first, twice when force follows.
func drainLimit(policy v1alpha1.Drain) time.Duration { return 2*drainTimeout(policy) + drainSlack }
