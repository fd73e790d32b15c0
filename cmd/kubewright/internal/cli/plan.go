package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
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
	timeout  time.Duration
	exitCode bool
}

func newPlan(env Environment) *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE --bundle BUNDLE",
		Short: "Show what up would change on which host, and why, without changing anything",
		Long: `Plan looks at every host and prints, host by host and step by step, what ` + "`kubewright up`" + ` with the same file would change
and why: what an operation for it would show before it is approved. It changes nothing on hosts and stores nothing of the file. Of an
upgrade over several minor versions it shows the first part; what the others find depends on it.

As nothing is stored, no key of a host is recorded: a host whose key is neither listed in its spec.hostKeys nor recorded by an earlier
` + "`kubewright up`" + ` is told no password, and with a private key the fingerprint it showed is a warning.

Exit codes: 0 the plan was made, 1 it could not be, 2 the input is wrong; with --exit-code 3 something would be changed.`,
		Example: `  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle

  # For scripts: does anything differ?
  kubewright plan -f cluster.yaml --bundle kubernetes-1.36.bundle --exit-code`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	o.flags(cmd)
	stateDirFlag(cmd, &o.stateDir)
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Minute, "give up after this time")
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", false, "exit with 3 when something would be changed")
	return cmd
}

func (o *planOptions) run(ctx context.Context, env Environment) (err error) {
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
	if _, err := fmt.Fprintf(env.Out, "Plan for cluster %s/%s%s:\n\n", request.Cluster.Namespace, request.Cluster.Name, way(request)); err != nil {
		return err
	}
	if err := writeDepartures(env.Out, cluster, leaving); err != nil {
		return err
	}
	outcome, err := env.Runner.Run(ctx, request)
	if err := told.write(env.Err); err != nil {
		return err
	}
	if outcome != nil && len(outcome.Plan) > 0 || err == nil {
		if err := progress.Plan(env.Out, outcome.Plan, int(outcome.PlanLeftOut)); err != nil {
			return err
		}
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return failed(err, "correct the cause and run the same command again; nothing was changed")
	}
	if len(outcome.Plan) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(env.Out, "\nDigest of the plan: %s\n", outcome.PlanDigest); err != nil {
		return err
	}
	if o.exitCode {
		return &failure{err: errors.New("something would be changed"), code: ExitChanges, told: true}
	}
	return nil
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
