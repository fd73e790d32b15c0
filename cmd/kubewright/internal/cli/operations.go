package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/progress"
)

// actOptions are the flags of commands that act upon a cluster which exists already.
type actOptions struct {
	stateDir  string
	namespace string
	plain     bool
	timeout   time.Duration
}

func (o *actOptions) flags(cmd *cobra.Command) {
	stateDirFlag(cmd, &o.stateDir)
	namespaceFlag(cmd, &o.namespace)
	cmd.Flags().BoolVar(&o.plain, "plain", false, "write lines even where a live table could be drawn")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up after this time, e.g. 30m (default never)")
}

// act is one such command at work.
type act struct {
	*actOptions
	env     Environment
	session *session.Session
	began   time.Time
}

// within opens the state directory, also one that another process works on, and closes it when do has ended.
func (o *actOptions) within(ctx context.Context, env Environment, command string, do func(a *act) error) (err error) {
	path, err := stateDir(o.stateDir)
	if err != nil {
		return badInput(err, "")
	}
	s, err := session.StartOrAttach(ctx, path, command, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(&act{actOptions: o, env: env, session: s, began: time.Now()})
}

// follow has the controllers work towards a goal in this process, unless another one runs them: then it is left to that. It returns nil
// without an error in that case.
func (a *act) follow(ctx context.Context, before *follow.Snapshot, goal follow.Goal) (*run, *result, error) {
	if a.session.Attached() {
		_, err := fmt.Fprintln(a.env.Out, "Another kubewright process works on this state directory, and carries it out.")
		return nil, nil, err
	}
	r := &run{
		env: a.env, session: a.session, key: client.ObjectKeyFromObject(before.Cluster), goal: goal, began: a.began, plain: a.plain, timeout: a.timeout,
		bundleRoots: bundleRoots(before),
	}
	done, err := r.run(ctx)
	return r, done, err
}

// followToReady follows until the cluster is as its spec says, and sums up.
func (a *act) followToReady(ctx context.Context, before *follow.Snapshot, goal follow.Goal) error {
	r, done, err := a.follow(ctx, before, goal)
	if err != nil || done == nil {
		return err
	}
	return r.summary(before, done).Render(a.env.Out)
}

// followOperation follows one operation until its goal is reached, and tells how it ended.
func (a *act) followOperation(ctx context.Context, before *follow.Snapshot, goal follow.Goal) error {
	_, done, err := a.follow(ctx, before, goal)
	if err != nil || done == nil {
		return err
	}
	ended := done.verdict.Operation
	message := ""
	if ready := capi.Condition(ended, v1alpha1.ReadyCondition); ready != nil {
		message = ": " + ready.Message
	}
	_, err = fmt.Fprintf(a.env.Out, "Operation %s: %s%s\n", ended.Name, ended.Status.Phase, message)
	return err
}

// find finds the one operation that the arguments name, by its own name or its cluster's, among those that are meant.
func (a *act) find(ctx context.Context, args []string, what string, meant func(*v1alpha1.ClusterOperation) bool) (*v1alpha1.ClusterOperation, *follow.Snapshot, error) {
	var list v1alpha1.ClusterOperationList
	if err := a.session.Client.List(ctx, &list, client.InNamespace(a.namespace)); err != nil {
		return nil, nil, fmt.Errorf("list operations: %w", err)
	}
	var found []*v1alpha1.ClusterOperation
	var names []string
	for i := range list.Items {
		o := &list.Items[i]
		if !meant(o) {
			continue
		}
		names = append(names, o.Name)
		if len(args) == 0 || args[0] == o.Name || args[0] == o.Spec.ClusterRef.Name {
			found = append(found, o)
		}
	}
	switch {
	case len(names) == 0:
		return nil, nil, badInput(fmt.Errorf("no operation %s", what), "see kubewright status")
	case len(found) != 1:
		return nil, nil, badInput(fmt.Errorf("%d operations could be meant; those that %s are %s", len(found), what, strings.Join(names, ", ")), "name one")
	}
	key := client.ObjectKey{Namespace: found[0].Namespace, Name: found[0].Spec.ClusterRef.Name}
	snapshot, err := follow.Take(ctx, a.session.Client, key)
	if err != nil {
		return nil, nil, err
	}
	if snapshot.Cluster == nil {
		return nil, nil, badInput(fmt.Errorf("the cluster %s of operation %s does not exist", key, found[0].Name), "")
	}
	return found[0], snapshot, nil
}

// annotate sets an annotation of an operation.
func (a *act) annotate(ctx context.Context, operation *v1alpha1.ClusterOperation, values map[string]string) error {
	change := client.MergeFrom(operation.DeepCopy())
	for key, value := range values {
		metav1.SetMetaDataAnnotation(&operation.ObjectMeta, key, value)
	}
	if err := a.session.Client.Patch(ctx, operation, change); err != nil {
		return fmt.Errorf("set the annotations %s of operation %s: %w", strings.Join(slices.Sorted(maps.Keys(values)), ", "), operation.Name, err)
	}
	return nil
}

// writePlan shows what an operation would do, first of all which hosts it would take out of the cluster.
func writePlan(w io.Writer, s *follow.Snapshot, operation *v1alpha1.ClusterOperation, all bool) error {
	title := fmt.Sprintf("Plan of operation %s (%s", operation.Name, operation.Spec.Type)
	if operation.Spec.Version != "" {
		title += " to " + operation.Spec.Version
	}
	if _, err := fmt.Fprintf(w, "\n%s):\n\n", title); err != nil {
		return err
	}
	if err := writeDepartures(w, s.Cluster, departuresIn(s)); err != nil {
		return err
	}
	planned := progress.Planned{Changes: operation.Status.Plan, LeftOut: int(operation.Status.PlanLeftOut)}
	if operation.Status.Bundle != nil {
		planned.Bundle = progress.OtherBundle(s.Cluster, operation.Status.Bundle.Digest)
	}
	if err := progress.Plan(w, planned, all); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nDigest of the plan: %s\n", operation.Status.PlanDigest)
	return err
}
