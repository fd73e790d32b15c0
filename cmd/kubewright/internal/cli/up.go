package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/progress"
	"github.com/kubewright/kubewright/pkg/standalone"
)

// upOptions are the flags of up.
type upOptions struct {
	source
	stateDir   string
	kubeconfig string
	yes        bool
	plain      bool
	timeout    time.Duration
}

func newUp(env Environment) *cobra.Command {
	o := &upOptions{}
	cmd := &cobra.Command{
		Use:   "up -f FILE --bundle BUNDLE",
		Short: "Bring a cluster up from nothing, and keep it as described",
		Long: `Up brings about the cluster a file describes, on the hosts the file names, from one bundle. It needs no other cluster:
it runs etcd and an API server out of the bundle on this machine while it works, with all state in one directory.

Run it again at any time. Interrupted, in whatever way, it goes on where it stopped; with nothing to do it only checks.

Change the file and run it again to upgrade, grow, shrink or configure the cluster: what differs becomes one operation, or a chain of
them. Hosts that the cluster does not name any more leave it and are cleaned, so up names them and asks first; where there is no
terminal to ask on, it wants --yes. Their Host objects stay.

Exit codes: 0 the cluster is ready, 1 it is not, 2 the input is wrong and nothing was done, 4 an operation waits for approval, 130
stopped by Ctrl-C.`,
		Example: `  # A first cluster
  kubewright up -f cluster.yaml --bundle kubernetes-1.36.bundle

  # The same with a pinned bundle, a key from a file, and lines instead of a live table
  kubewright up -f cluster.yaml --bundle kubernetes-1.36.bundle --digest sha256:... --ssh-key ~/.ssh/id_ed25519 --plain

  # From a delta and the bundle that the site has already
  kubewright up -f cluster.yaml --bundle to-1.36.delta --base kubernetes-1.35.bundle`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.flags(cmd)
	stateDirFlag(cmd, &o.stateDir)
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "where to put the new cluster's kubeconfig as well")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "let hosts leave the cluster without asking")
	cmd.Flags().BoolVar(&o.plain, "plain", false, "write lines even where a live table could be drawn")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up after this time, e.g. 30m (default never)")
	return cmd
}

func (o *upOptions) run(ctx context.Context, env Environment) (err error) {
	began := time.Now()
	w, err := o.read()
	if err != nil {
		return err
	}
	defer w.bundle.Close() //nolint:errcheck // read only
	path, err := stateDir(o.stateDir)
	if err != nil {
		return badInput(err, "")
	}
	key := client.ObjectKeyFromObject(w.Cluster)
	_, _ = fmt.Fprintf(env.Out, "Cluster %s, Kubernetes %s, bundle %s (%s)\n", key, w.Cluster.Spec.Version, filepath.Base(w.path), w.bundle.Digest())

	s, err := session.Start(ctx, path, "up", w.bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	_, _ = fmt.Fprintf(env.Out, "Control plane on this machine is up after %s, state in %s\n", progress.Duration(time.Since(began)), s.Dir.Path())

	if err := w.checkReferences(ctx, s.Client); err != nil {
		return err
	}
	cluster, hosts, err := w.checkAll(ctx, s)
	if err != nil {
		return err
	}
	if other := progress.OtherBundle(cluster, string(w.bundle.Digest())); other != "" {
		_, _ = fmt.Fprintln(env.Out, "Bundle:", other)
	}
	leaving, err := departures(ctx, s.Client, cluster, hosts)
	if err != nil {
		return err
	}
	if err := o.confirmDepartures(ctx, env, cluster, leaving); err != nil {
		return err
	}
	goal, before, err := o.ask(ctx, s, w)
	if err != nil {
		return err
	}
	r := &run{env: env, session: s, key: key, goal: goal, began: began, plain: o.plain, timeout: o.timeout, bundleRoots: w.bundleRoots()}
	done, err := r.run(ctx)
	if err != nil {
		return err
	}
	kubeconfig, err := r.writeKubeconfig(ctx, o.kubeconfig)
	if err != nil {
		return err
	}
	summary := r.summary(before, done)
	summary.Kubeconfig = kubeconfig
	return summary.Render(env.Out)
}

// summary tells what became of a cluster since before.
func (r *run) summary(before *follow.Snapshot, done *result) progress.Summary {
	return progress.Summary{
		Before: before.Cluster, Cluster: done.snapshot.Cluster, Operations: r.goal.Worked(done.snapshot), Left: left(before, done.snapshot),
		Costs: done.costs, Took: time.Since(r.began),
	}
}

// left tells of the hosts that are not the cluster's any more.
func left(before, after *follow.Snapshot) []progress.LeftHost {
	if before.Cluster == nil {
		return nil
	}
	var out []progress.LeftHost
	for _, name := range slices.Sorted(maps.Keys(before.Hosts)) {
		claim, host := before.Hosts[name].Status.Claim, after.Hosts[name]
		if claim == nil || claim.ClusterUID != string(before.Cluster.UID) || host == nil || host.Status.Claim != nil {
			continue
		}
		one := progress.LeftHost{Name: name}
		if quarantined := meta.FindStatusCondition(host.Status.Conditions, v1alpha1.HostQuarantinedCondition); quarantined != nil && quarantined.Status == metav1.ConditionTrue {
			one.Quarantined = quarantined.Message
		}
		out = append(out, one)
	}
	return out
}

// bundleRoots are the directories the controllers may take bundles from.
func (w *wanted) bundleRoots() []string {
	roots := rootsOf(w.path)
	for _, b := range w.bases {
		roots = append(roots, rootsOf(b.path)...)
	}
	return roots
}

// rootsOf are the directories a file is in, by its own name and after links.
func rootsOf(path string) []string {
	roots := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != roots[0] {
		roots = append(roots, filepath.Dir(real))
	}
	return roots
}

// writeKubeconfig fetches the way in to the new cluster and writes it where people look for it. It returns the path to use.
func (r *run) writeKubeconfig(ctx context.Context, also string) (string, error) {
	content, err := awaitKubeconfig(ctx, r.session.Client, r.key)
	if err != nil {
		return "", err
	}
	path := r.session.Dir.ClusterKubeconfig(r.key.Namespace, r.key.Name)
	if err := standalone.WriteFile(path, content); err != nil {
		return "", err
	}
	if also == "" {
		return path, nil
	}
	if also, err = filepath.Abs(also); err != nil {
		return "", fmt.Errorf("--kubeconfig: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(also), 0o700); err != nil {
		return "", fmt.Errorf("--kubeconfig: %w", err)
	}
	return also, standalone.WriteFile(also, content)
}
