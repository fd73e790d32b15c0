package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/progress"
)

// deleteOptions are the flags of delete.
type deleteOptions struct {
	file      string
	stateDir  string
	namespace string
	reset     bool
	yes       bool
	plain     bool
	timeout   time.Duration
}

func newDelete(env Environment) *cobra.Command {
	o := &deleteOptions{}
	cmd := &cobra.Command{
		Use:   "delete CLUSTER",
		Short: "Forget a cluster, and with --reset remove Kubernetes from its hosts",
		Long: `Delete forgets a cluster: its hosts are free for another one, and what runs on them is left alone. With --reset Kubernetes, and
everything in it, is removed from the hosts first; only what Kubewright put there is removed. This cannot be undone, so it asks first;
where there is no terminal to ask on, it wants --yes.

A host that cannot be reached or cleaned stops it, and the same command tries that host again. When its machine is gone for good, write
onRemoval: Orphan into its Host, and pass the file with -f: the host is then left alone. Hosts that were not cleaned are quarantined.`,
		Example: `  kubewright delete demo --yes
  kubewright delete demo --reset --yes

  # With a Host in the file that has onRemoval: Orphan by now
  kubewright delete demo --reset --yes -f cluster.yaml`,
		Args: exactly("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args) },
	}
	stateDirFlag(cmd, &o.stateDir)
	namespaceFlag(cmd, &o.namespace)
	cmd.Flags().StringVarP(&o.file, "filename", "f", "", "the cluster's file, when its Hosts or Secrets were changed since")
	cmd.Flags().BoolVar(&o.reset, "reset", false, "remove Kubernetes from the hosts as well")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "delete without asking")
	cmd.Flags().BoolVar(&o.plain, "plain", false, "write lines even where a live table could be drawn")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up after this time, e.g. 10m (default never)")
	return cmd
}

func (o *deleteOptions) run(ctx context.Context, env Environment, args []string) (err error) {
	began := time.Now()
	path, err := stateDir(o.stateDir)
	if err != nil {
		return badInput(err, "")
	}
	s, err := session.Start(ctx, path, "delete", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	cluster, err := findCluster(ctx, s.Client, o.namespace, args)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(cluster)
	before, err := follow.Take(ctx, s.Client, key)
	if err != nil {
		return err
	}
	if o.reset {
		if err := requireBundle(before); err != nil {
			return badInput(err, "put the file back to where it was, or delete without --reset and clean the hosts by hand")
		}
	}
	if err := o.confirm(ctx, env, before); err != nil {
		return err
	}
	if o.file != "" {
		if err := takeAccess(ctx, s, o.file, key); err != nil {
			return err
		}
	}
	goal := follow.NewGoal(before, time.Now())
	goal.Deletion = true
	if err := o.ask(ctx, s.Client, cluster); err != nil {
		return err
	}
	r := &run{env: env, session: s, key: key, goal: goal, began: began, plain: o.plain, timeout: o.timeout, bundleRoots: bundleRoots(before)}
	done, err := r.run(ctx)
	if err != nil {
		return err
	}
	if err := sweep(ctx, s, before); err != nil {
		return err
	}
	did := "its hosts were left as they are"
	if o.reset {
		did = "Kubernetes was removed from its hosts"
		if operation := done.verdict.Operation; operation != nil {
			did += " (" + progress.StepCounts(operation) + ")"
		}
	}
	if _, err := fmt.Fprintf(env.Out, "Cluster %s is gone after %s; %s.\n", key, progress.Duration(time.Since(began)), did); err != nil {
		return err
	}
	return tellQuarantined(env.Out, left(before, done.snapshot))
}

// confirm has the user agree, who sees what is lost where.
func (o *deleteOptions) confirm(ctx context.Context, env Environment, s *follow.Snapshot) error {
	if o.yes {
		return nil
	}
	what := "forgets the cluster %s and leaves its hosts as they are"
	if o.reset {
		what = "removes Kubernetes, and all data in it, from the hosts of the cluster %s"
	}
	if _, err := fmt.Fprintf(env.Out, "This "+what+":\n", client.ObjectKeyFromObject(s.Cluster)); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Hosts)) {
		host := s.Hosts[name]
		if claim := host.Status.Claim; claim == nil || claim.ClusterUID != string(s.Cluster.UID) {
			continue
		}
		fate := ""
		if o.reset && host.Spec.OnRemoval == v1alpha1.OrphanOnRemoval {
			fate = ": left alone (onRemoval is Orphan)"
		}
		if _, err := fmt.Fprintf(env.Out, "  %s%s\n", name, fate); err != nil {
			return err
		}
	}
	return confirm(ctx, env, "Do this?", "add --yes")
}

// tellQuarantined says which hosts no cluster takes now, and why.
func tellQuarantined(w io.Writer, hosts []progress.LeftHost) error {
	for _, host := range hosts {
		if host.Quarantined == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %s: quarantined: %s\n", progress.Clean(host.Name), progress.Clean(host.Quarantined)); err != nil {
			return err
		}
	}
	return nil
}

// takeAccess stores the Hosts and Secrets of a cluster's file, or nothing when one of them is refused. The Cluster in it is not stored:
// one that is to be deleted is not changed any more.
func takeAccess(ctx context.Context, s *session.Session, file string, key client.ObjectKey) error {
	objects, err := input.Read(file)
	if err != nil {
		return badInput(err, "")
	}
	w := &wanted{Objects: objects}
	if described := client.ObjectKeyFromObject(w.Cluster); described != key {
		return badInput(fmt.Errorf("%s is the cluster %s, not %s", w.Where(w.Cluster), described, key), "pass the file of the cluster that is to be deleted")
	}
	for _, dry := range []bool{true, false} {
		for _, object := range w.waysIn() {
			if err := w.apply(ctx, s, object, dry); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask sets the policy and deletes the Cluster. A deletion that failed before is tried again.
func (o *deleteOptions) ask(ctx context.Context, c client.Client, cluster *v1alpha1.Cluster) error {
	key := client.ObjectKeyFromObject(cluster)
	policy := v1alpha1.OrphanOnDelete
	if o.reset {
		policy = v1alpha1.ResetOnDelete
	}
	if cluster.Spec.DeletionPolicy != policy {
		change := client.MergeFrom(cluster.DeepCopy())
		cluster.Spec.DeletionPolicy = policy
		if err := c.Patch(ctx, cluster, change); err != nil {
			return fmt.Errorf("set the deletion policy of Cluster %s: %w", key, err)
		}
	}
	if !cluster.DeletionTimestamp.IsZero() {
		return askAgain(ctx, c, key)
	}
	if err := c.Delete(ctx, cluster); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Cluster %s: %w", key, err)
	}
	return nil
}

// requireBundle sees that the files of a cluster's OfflineManifests are there: nothing can be done on hosts without the helper in them.
func requireBundle(s *follow.Snapshot) error {
	for _, m := range append(s.Bases, s.Manifest) {
		path, ok := fileOf(m)
		if !ok {
			continue // the controller judges sources; this is only about files
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("the bundle of OfflineManifest %s cannot be used: %w", m.Name, err)
		}
	}
	return nil
}

// bundleRoots are the directories of the bundles a cluster uses: also a Reset takes its helper out of them.
func bundleRoots(s *follow.Snapshot) []string {
	var roots []string
	for _, m := range append(s.Bases, s.Manifest) {
		if path, ok := fileOf(m); ok {
			roots = append(roots, rootsOf(path)...)
		}
	}
	return roots
}

// allBundleRoots adds the directories of all bundles that the state directory knows: the controllers look after every cluster in it, not
// only after the one that a command is about.
func allBundleRoots(ctx context.Context, reader client.Reader, roots []string) ([]string, error) {
	var manifests v1alpha1.OfflineManifestList
	if err := reader.List(ctx, &manifests); err != nil {
		return nil, fmt.Errorf("list OfflineManifests: %w", err)
	}
	roots = slices.Clone(roots)
	for i := range manifests.Items {
		if path, ok := fileOf(&manifests.Items[i]); ok {
			roots = append(roots, rootsOf(path)...)
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots), nil
}

// fileOf is the path of the file that an OfflineManifest is about; false for other sources, and for none.
func fileOf(manifest *v1alpha1.OfflineManifest) (string, bool) {
	if manifest == nil {
		return "", false
	}
	u, err := url.Parse(manifest.Spec.Source)
	if err != nil || u.Scheme != "file" || !filepath.IsAbs(u.Path) {
		return "", false
	}
	return u.Path, true
}

// sweep removes the records of operations upon a cluster that is gone; the embedded API server has no garbage collector.
func sweep(ctx context.Context, s *session.Session, before *follow.Snapshot) error {
	var operations v1alpha1.ClusterOperationList
	if err := s.Client.List(ctx, &operations, client.InNamespace(before.Cluster.Namespace)); err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	for i := range operations.Items {
		operation := &operations.Items[i]
		for _, owner := range operation.OwnerReferences {
			if owner.UID != before.Cluster.UID {
				continue
			}
			// Its finalizer stops an execution, and none is left of a cluster that is gone.
			change := client.MergeFrom(operation.DeepCopy())
			operation.Finalizers = nil
			if err := s.Client.Patch(ctx, operation, change); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("let operation %s go: %w", operation.Name, err)
			}
			if err := s.Client.Delete(ctx, operation); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("delete operation %s: %w", operation.Name, err)
			}
		}
	}
	return nil
}
