package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
)

// listOperations returns the operations upon the cluster as the cache has them.
func (s *scope) listOperations(ctx context.Context) ([]v1alpha1.ClusterOperation, error) {
	var list v1alpha1.ClusterOperationList
	err := s.Client.List(ctx, &list, client.InNamespace(s.cluster.Namespace),
		client.MatchingFields{index.OperationsByCluster: s.cluster.Name})
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	return list.Items, nil
}

// listOperationsLive asks the API server, for decisions that a stale cache would get wrong. It remembers those upon other clusters too: they
// may have names that ours would get.
func (s *scope) listOperationsLive(ctx context.Context) ([]v1alpha1.ClusterOperation, error) {
	var list v1alpha1.ClusterOperationList
	if err := s.Live.List(ctx, &list, client.InNamespace(s.cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	s.neighbours = slices.Clone(list.Items)
	return slices.DeleteFunc(list.Items, func(o v1alpha1.ClusterOperation) bool {
		return o.Spec.ClusterRef.Name != s.cluster.Name
	}), nil
}

// active returns the operation that is under way or waits, the one that runs first; nil when there is none. Comparisons that this
// controller makes in the background do not count: they give way.
func active(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) *v1alpha1.ClusterOperation {
	var found *v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if o.Status.Phase.Ended() || isCheck(cluster, o) {
			continue
		}
		if found == nil || o.Status.Phase == v1alpha1.OperationRunning && found.Status.Phase != v1alpha1.OperationRunning {
			found = o
		}
	}
	return found
}

// isCheck says whether an operation is a comparison that this controller created for this cluster.
func isCheck(cluster *v1alpha1.Cluster, operation *v1alpha1.ClusterOperation) bool {
	return operation.Spec.Type == v1alpha1.CheckOperation && metav1.IsControlledBy(operation, cluster)
}

// newest returns the last one of the operations of some types that this controller created for this cluster; nil when there is none.
func newest(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation, is func(v1alpha1.OperationType) bool) *v1alpha1.ClusterOperation {
	var found *v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if !is(o.Spec.Type) || !metav1.IsControlledBy(o, cluster) {
			continue
		}
		if found == nil || later(o, found) {
			found = o
		}
	}
	return found
}

// isOfType picks the operations of one type.
func isOfType(wanted v1alpha1.OperationType) func(v1alpha1.OperationType) bool {
	return func(t v1alpha1.OperationType) bool { return t == wanted }
}

// later compares by generation, then by the number at the end of the name; time stamps are too coarse.
func later(a, b *v1alpha1.ClusterOperation) bool {
	if a.Spec.ClusterGeneration != b.Spec.ClusterGeneration {
		return a.Spec.ClusterGeneration > b.Spec.ClusterGeneration
	}
	return numberOf(a.Name) > numberOf(b.Name)
}

// numberOf is the number at the end of an operation's name, 0 without one.
func numberOf(name string) int {
	number, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return 0
	}
	return number
}

// maxNumber is far above what this controller counts to. Whoever gives an operation a name with more has no say in what comes next.
const maxNumber = 1_000_000_000

// nextNumber is one more than the highest number at the end of a name that begins with one of the prefixes, whoever created it.
func nextNumber(operations []v1alpha1.ClusterOperation, prefixes ...string) int {
	last := 0
	for i := range operations {
		for _, prefix := range prefixes {
			if rest, ok := strings.CutPrefix(operations[i].Name, prefix); ok {
				if number, err := strconv.Atoi(rest); err == nil && number < maxNumber {
					last = max(last, number)
				}
			}
		}
	}
	return last + 1
}

// nextName is the first name with the prefix and a number that no operation has.
func nextName(prefix string, operations []v1alpha1.ClusterOperation) string {
	return prefix + strconv.Itoa(nextNumber(operations, prefix))
}

// namePrefix begins the names of operations that bring a generation of a cluster about.
func namePrefix(cluster *v1alpha1.Cluster, kind v1alpha1.OperationType) string {
	return fmt.Sprintf("%s-%s-g%d-", cluster.Name, strings.ToLower(string(kind)), cluster.Generation)
}

// nextSuccessor is the name of the next operation of a kind for the present generation. The numbers run over all kinds that bring a
// cluster about, so that they tell which one came last.
func nextSuccessor(cluster *v1alpha1.Cluster, kind v1alpha1.OperationType, operations []v1alpha1.ClusterOperation) string {
	var prefixes []string
	for _, k := range []v1alpha1.OperationType{
		v1alpha1.InstallOperation, v1alpha1.UpgradeOperation, v1alpha1.ScaleOperation, v1alpha1.ConfigureOperation,
	} {
		prefixes = append(prefixes, namePrefix(cluster, k))
	}
	return namePrefix(cluster, kind) + strconv.Itoa(nextNumber(operations, prefixes...))
}

// asksAgain says whether the retry annotation asks for more than the operation was created for.
func asksAgain(cluster *v1alpha1.Cluster, operation *v1alpha1.ClusterOperation) bool {
	asked := cluster.Annotations[v1alpha1.RetryAnnotation]
	return asked != "" && asked != operation.Annotations[v1alpha1.RetryAnnotation]
}

// newOperation is an operation upon the cluster, not created yet. It carries the retry annotation it answers to.
func (s *scope) newOperation(name string, kind v1alpha1.OperationType, generation int64) *v1alpha1.ClusterOperation {
	operation := &v1alpha1.ClusterOperation{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       s.cluster.Namespace,
			Name:            name,
			Labels:          map[string]string{v1alpha1.ClusterNameLabel: s.cluster.Name},
			OwnerReferences: []metav1.OwnerReference{s.owner()},
		},
		Spec: v1alpha1.ClusterOperationSpec{
			ClusterRef:        v1alpha1.LocalReference{Name: s.cluster.Name},
			Type:              kind,
			Mode:              v1alpha1.ApplyMode,
			ClusterGeneration: generation,
		},
	}
	if kind.BringsAbout() && s.cluster.Spec.OperationPolicy == v1alpha1.ManualOperations {
		operation.Spec.Approval = v1alpha1.ApprovalRequired
	}
	if asked := s.cluster.Annotations[v1alpha1.RetryAnnotation]; asked != "" {
		setAnnotation(operation, v1alpha1.RetryAnnotation, asked)
	}
	return operation
}

func setAnnotation(operation *v1alpha1.ClusterOperation, key, value string) {
	if operation.Annotations == nil {
		operation.Annotations = map[string]string{}
	}
	operation.Annotations[key] = value
}

// create creates an operation and remembers it as the last one.
func (s *scope) create(ctx context.Context, operation *v1alpha1.ClusterOperation) error {
	if err := s.Client.Create(ctx, operation); err != nil {
		return fmt.Errorf("create operation %s: %w", operation.Name, err)
	}
	s.cluster.Status.LastOperation = operation.Name
	s.Health.Drop(client.ObjectKeyFromObject(s.cluster)) // what was found is of before the operation
	s.Events.Eventf(s.cluster, operation, "Normal", "OperationCreated", string(operation.Spec.Type), "created operation %s", operation.Name)
	return nil
}
