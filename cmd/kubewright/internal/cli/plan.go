package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/progress"
	"github.com/kubewright/kubewright/pkg/provision"
)

// planOptions are the flags of plan.
type planOptions struct {
	source
	stateDir string
	output   string
	timeout  time.Duration
	exitCode bool
	verbose  bool
}

func newPlan(env Environment) *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE --bundle BUNDLE",
		Short: "Show what up would change on which host, and why, without changing anything",
		Long: `Plan looks at every host and prints what ` + "`kubewright up`" + ` with the same file would change: first what it comes to (which hosts
leave, who becomes what, how much content moves, who is drained, what restarts), then host by host and step by step what and why, with
old and new values; of secrets only that they change. What a host lacks altogether is counted; with -v it is listed. It changes nothing on
hosts and stores nothing of the file. Of an upgrade over several minor versions it shows the first part; what the others find depends
on it.

As nothing is stored, no key of a host is recorded: a host whose key is neither listed in its spec.hostKeys nor recorded by an earlier
` + "`kubewright up`" + ` is told no password, and with a private key the fingerprint it showed is a warning.

Exit codes: 0 the plan was made, 1 it could not be, 2 the input is wrong; with --exit-code 3 something would be changed.`,
		Example: `  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle

  # Everything, also what is only counted otherwise
  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle -v

  # For scripts: as one JSON object; does anything differ?
  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle -o json
  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle --exit-code`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.flags(cmd)
	stateDirFlag(cmd, &o.stateDir)
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Minute, "give up after this time")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "list also what is only counted otherwise")
	outputFlag(cmd, &o.output)
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", false, "exit with 3 when something would be changed")
	return cmd
}

func (o *planOptions) run(ctx context.Context, env Environment) (err error) {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the plan was not ready within --timeout %s", o.timeout))
	defer cancel()
	w, err := o.read()
	if err != nil {
		return err
	}
	defer w.bundle.Close() //nolint:errcheck // read only
	path, err := stateDir(o.stateDir)
	if err != nil {
		return badInput(err, "")
	}
	if _, err := verified.In(verifiedDir(path)).Verify(ctx, w.bundle, verified.Options{}); err != nil {
		return badInput(fmt.Errorf("--bundle: %w", err), "")
	}
	s, err := session.StartOrAttach(ctx, path, "plan", w.bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	_, closeLog, err := logToFile(s.Dir)
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // a log

	if err := w.checkReferences(ctx, s.Client); err != nil {
		return err
	}
	cluster, hosts, err := w.checkAll(ctx, s)
	if err != nil {
		return err
	}
	leaving, err := departures(ctx, s.Client, cluster, hosts)
	if err != nil {
		return err
	}
	request, err := planRequest(ctx, s, w, cluster, hosts, namesOf(leaving))
	if err != nil {
		return err
	}
	told := &warnings{}
	request.Sink = told
	request.RecordHostKey = newUnrecordedKeys(request.Hosts, told.add).record
	outcome, err := env.Runner.Run(ctx, request)
	if err := told.write(env.Err); err != nil {
		return err
	}
	if err := o.show(env.Out, request, leaving, outcome, err == nil); err != nil {
		return err
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return failed(err, "correct the cause and run the same command again; nothing was changed")
	}
	if o.exitCode && len(outcome.Plan) > 0 {
		return &failure{err: errors.New("something would be changed"), code: ExitChanges, told: true}
	}
	return nil
}

// plannedJSON is a plan for programs. Fields are only ever added.
type plannedJSON struct {
	Cluster string `json:"cluster"`
	// From and To are the versions of an upgrade or of a part of one, Target is where it leads in the end.
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Target string `json:"target"`
	// Bundle says that the cluster runs from another one.
	Bundle  *otherBundleJSON         `json:"bundle,omitempty"`
	Summary plan.Summary             `json:"summary"`
	Changes []v1alpha1.PlannedChange `json:"changes"`
	// Digest of the plan, as an approval names it; empty when nothing would be changed.
	Digest string `json:"digest,omitempty"`
}

// otherBundleJSON holds the digests of the bundle that a cluster runs from, and of the one it is to run from.
type otherBundleJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// show writes the plan, as far as it was made. Why it is not whole is reported by the caller.
func (o *planOptions) show(w io.Writer, request provision.Request, leaving []progress.Departure, outcome *provision.Outcome, whole bool) error {
	if o.output == outputJSON {
		if !whole {
			return nil
		}
		out := plannedJSON{
			Cluster: request.Cluster.Namespace + "/" + request.Cluster.Name, Target: request.Cluster.Spec.Version, To: request.Operation.Spec.Version,
			Summary: plan.Summarise(outcome.Plan), Changes: outcome.Plan, Digest: outcome.PlanDigest,
		}
		if out.To != "" {
			out.From = request.Cluster.Status.Version
		}
		if to := string(request.Bundle.Digest()); progress.OtherBundle(&request.Cluster, to) != "" {
			out.Bundle = &otherBundleJSON{From: request.Cluster.Status.Bundles[0].Digest, To: to}
		}
		if len(out.Changes) == 0 {
			out.Changes, out.Digest = []v1alpha1.PlannedChange{}, ""
		}
		return writeJSON(w, out)
	}
	if _, err := fmt.Fprintf(w, "Plan for cluster %s/%s%s:\n\n", request.Cluster.Namespace, request.Cluster.Name, way(request)); err != nil {
		return err
	}
	if err := writeDepartures(w, &request.Cluster, leaving); err != nil {
		return err
	}
	if len(outcome.Plan) > 0 || whole {
		planned := progress.Planned{Changes: outcome.Plan, Bundle: progress.OtherBundle(&request.Cluster, string(request.Bundle.Digest()))}
		if err := progress.Plan(w, planned, o.verbose); err != nil {
			return err
		}
	}
	if len(outcome.Plan) == 0 || !whole {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nDigest of the plan: %s\n", outcome.PlanDigest)
	return err
}

// way tells which version the plan leads to, and that it is only a part of the way.
func way(request provision.Request) string {
	hop, at, target := request.Operation.Spec.Version, request.Cluster.Status.Version, request.Cluster.Spec.Version
	switch hop {
	case "":
		return ""
	case target:
		return fmt.Sprintf(", from %s to %s", at, target)
	}
	return fmt.Sprintf(", from %s to %s, the first part of the way to %s", at, hop, target)
}

// releases lists the versions a bundle holds.
func releases(b *bundle.Bundle) []string {
	var versions []string
	for _, release := range b.Config().Releases {
		versions = append(versions, release.KubernetesVersion)
	}
	return versions
}

// nextVersion is the version the next operation brings an existing cluster to; empty when that is not another one.
func nextVersion(cluster *v1alpha1.Cluster, b *bundle.Bundle) (string, error) {
	at := cluster.Status.Version
	if !cluster.Status.Initialized || at == "" {
		return "", nil
	}
	next, err := plan.NextHop(at, cluster.Spec.Version, releases(b))
	if err != nil {
		return "", badInput(fmt.Errorf("spec.version: %w", err), "nothing was looked at and nothing was changed")
	}
	if next == at {
		return "", nil
	}
	return next, nil
}

// planRequest makes the request of an operation in mode Plan from what the API server would make of the user's objects, without
// having it store them.
func planRequest(ctx context.Context, s *session.Session, w *wanted, cluster *v1alpha1.Cluster, hosts map[string]*v1alpha1.Host, leaving []string) (provision.Request, error) {
	secrets := map[client.ObjectKey]*corev1.Secret{}
	for key, secret := range w.keyed {
		secrets[key] = secret
	}
	for _, secret := range w.Secrets {
		secrets[client.ObjectKeyFromObject(secret)] = secret
	}
	version, err := nextVersion(cluster, w.bundle)
	if err != nil {
		return provision.Request{}, err
	}
	hostAccess, err := access(ctx, s.Client, cluster, leaving, hosts, secrets)
	if err != nil {
		return provision.Request{}, err
	}
	trust, err := authorities(ctx, s.Client, cluster)
	if err != nil {
		return provision.Request{}, err
	}
	recipient, err := backupRecipient(ctx, s.Client, cluster)
	if err != nil {
		return provision.Request{}, err
	}
	return provision.Request{
		Operation: v1alpha1.ClusterOperation{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: cluster.Name + "-plan"},
			Spec: v1alpha1.ClusterOperationSpec{
				ClusterRef: v1alpha1.LocalReference{Name: cluster.Name},
				Type:       v1alpha1.InstallOperation,
				Mode:       v1alpha1.PlanMode,
				Version:    version,
			},
		},
		Attempt:         1,
		Cluster:         *cluster,
		Hosts:           hostAccess,
		Addresses:       addresses.Local(),
		Leaving:         leaving,
		BackupRecipient: recipient,
		Authorities:     trust,
		Bundle:          w.bundle,
	}, nil
}

func convert(from *unstructured.Unstructured, to any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to); err != nil {
		return fmt.Errorf("read %s %s as the API server has it: %w", from.GetKind(), from.GetName(), err)
	}
	return nil
}
