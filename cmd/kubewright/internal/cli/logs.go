package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/progress"
	"github.com/kubewright/kubewright/pkg/provision"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	stateDir  string
	namespace string
	bundle    string
	hosts     []string
	operation string
	output    string
	tail      int
	timeout   time.Duration
}

func newLogs(env Environment) *cobra.Command {
	o := &logsOptions{}
	cmd := &cobra.Command{
		Use:   "logs [CLUSTER]",
		Short: "Read from the hosts what an operation did there",
		Long: `Logs reads over SSH what the hosts recorded of an operation: what was applied, what failed, and the output of long commands.
It is kept on the hosts, so it is there however the operation ended. Without a name it takes the only cluster there is.`,
		Example: `  kubewright logs
  kubewright logs demo --host n2 --tail 20
  kubewright logs demo --operation demo-install-g1-1`,
		Args: atMostOne("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args) },
	}
	stateDirFlag(cmd, &o.stateDir)
	namespaceFlag(cmd, &o.namespace)
	cmd.Flags().StringVar(&o.bundle, "bundle", "", "bundle to take the host helper from (default: the one the cluster uses)")
	cmd.Flags().StringArrayVar(&o.hosts, "host", nil, "host to read from; may be given more than once (default all)")
	cmd.Flags().StringVar(&o.operation, "operation", "", "operation to read of (default the last one)")
	outputFlag(cmd, &o.output)
	cmd.Flags().IntVar(&o.tail, "tail", 50, "how many entries, and lines of each command, at most; 0 for all")
	cmd.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "give up after this time")
	return cmd
}

func (o *logsOptions) run(ctx context.Context, env Environment, args []string) (err error) {
	reader, ok := env.Runner.(provision.LogReader)
	if !ok {
		return errors.New("this program was built without a way to read logs from hosts")
	}
	if err := checkOutput(o.output); err != nil {
		return err
	}
	if o.tail < 0 {
		return badInput(fmt.Errorf("--tail %d is negative", o.tail), "")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the logs were not read within --timeout %s", o.timeout))
	defer cancel()
	path, err := stateDir(o.stateDir)
	if err != nil {
		return badInput(err, "")
	}
	s, err := session.StartOrAttach(ctx, path, "logs", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	cluster, err := findCluster(ctx, s.Client, o.namespace, args)
	if err != nil {
		return err
	}
	snapshot, err := follow.Take(ctx, s.Client, client.ObjectKeyFromObject(cluster))
	if err != nil {
		return err
	}
	if o.operation == "" {
		last := lastOperation(snapshot)
		if last == nil {
			return failed(fmt.Errorf("there was no operation upon the cluster %s/%s yet", cluster.Namespace, cluster.Name), "")
		}
		o.operation = last.Name
	}
	request, closeBundle, err := o.request(ctx, s, snapshot)
	if err != nil {
		return err
	}
	defer closeBundle() //nolint:errcheck // read only
	return o.read(ctx, env.Out, reader, request)
}

// request is what is needed to reach the hosts of the cluster.
func (o *logsOptions) request(ctx context.Context, s *session.Session, snapshot *follow.Snapshot) (provision.Request, func() error, error) {
	path := o.bundle
	if path == "" {
		path = s.Programs.Bundle
	}
	var bases []string
	for _, m := range snapshot.Bases {
		if base, ok := fileOf(m); ok {
			bases = append(bases, base)
		}
	}
	b, err := bundle.OpenSet(path, bases...)
	if err != nil {
		return provision.Request{}, nil, badInput(fmt.Errorf("open the bundle to take the host helper from: %w", err), "name it with --bundle")
	}
	if m := snapshot.Manifest; m != nil && m.Spec.Digest != b.Digest().String() {
		_ = b.Close()
		return provision.Request{}, nil, badInput(fmt.Errorf("the bundle %s has digest %s, the cluster uses %s", path, b.Digest(), m.Spec.Digest), "name the right one with --bundle")
	}
	hosts, err := access(ctx, s.Client, snapshot.Cluster, nil, nil, nil)
	if err == nil {
		for _, name := range o.hosts {
			if !slices.ContainsFunc(input.HostsOf(snapshot.Cluster), func(h input.NamedHost) bool { return h.Name == name }) {
				err = badInput(fmt.Errorf("--host %s is not a host of the cluster %s", name, snapshot.Cluster.Name), "")
			}
		}
	}
	trust, trustErr := authorities(ctx, s.Client, snapshot.Cluster)
	if err = errors.Join(err, trustErr); err != nil {
		_ = b.Close()
		return provision.Request{}, nil, err
	}
	return provision.Request{
		Operation: v1alpha1.ClusterOperation{
			ObjectMeta: metav1.ObjectMeta{Namespace: snapshot.Cluster.Namespace, Name: o.operation},
			Spec: v1alpha1.ClusterOperationSpec{
				ClusterRef: v1alpha1.LocalReference{Name: snapshot.Cluster.Name}, Type: v1alpha1.CheckOperation, Mode: v1alpha1.PlanMode,
			},
		},
		Cluster: *snapshot.Cluster, Hosts: hosts, Addresses: addresses.Local(), Authorities: trust, Bundle: b,
		RecordHostKey: refuseUnrecorded,
	}, b.Close, nil
}

// read reads from one host after the other. One that cannot be read does not keep the others from being read.
func (o *logsOptions) read(ctx context.Context, w io.Writer, reader provision.LogReader, request provision.Request) error {
	var problems []error
	all := logsJSON{Operation: o.operation, Hosts: map[string]*hostapi.Logs{}}
	for _, named := range input.HostsOf(&request.Cluster) {
		if len(o.hosts) > 0 && !slices.Contains(o.hosts, named.Name) {
			continue
		}
		logs, err := reader.Logs(ctx, request, named.Name, o.operation, o.tail)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", named.Name, err))
			continue
		}
		if o.output == outputJSON {
			all.Hosts[named.Name] = logs
			continue
		}
		if err := writeLogs(w, named.Name, o.operation, logs); err != nil {
			return err
		}
	}
	if o.output == outputJSON {
		if err := writeJSON(w, all); err != nil {
			return err
		}
	}
	return failed(errors.Join(problems...), "")
}

// logsJSON is what hosts recorded of an operation, for programs. Hosts that could not be read are not in it; they stand on standard error.
type logsJSON struct {
	Operation string                   `json:"operation"`
	Hosts     map[string]*hostapi.Logs `json:"hosts"`
}

func writeLogs(w io.Writer, host, operation string, logs *hostapi.Logs) error {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s: %s\n", host, operation)
	if len(logs.Entries) == 0 && len(logs.Runs) == 0 {
		b.WriteString("nothing was recorded\n")
	}
	for _, e := range logs.Entries {
		line := fmt.Sprintf("%s  %-8s %-28s %s %s", e.Time.Local().Format(time.DateTime), e.Event, e.Step, e.Resource, e.Message)
		if e.Millis > 0 {
			line += fmt.Sprintf(" (%s)", progress.Duration(time.Duration(e.Millis)*time.Millisecond))
		}
		if e.ExitCode != nil {
			line += fmt.Sprintf(" (exit code %d)", *e.ExitCode)
		}
		b.WriteString(strings.TrimRight(progress.Clean(line), " ") + "\n")
		for _, output := range e.Output {
			b.WriteString("    | " + progress.Clean(output) + "\n")
		}
	}
	for _, run := range logs.Runs {
		state := "ended"
		if run.Running {
			state = "still runs"
		}
		fmt.Fprintf(&b, "-- output of %s (%s)\n", progress.Clean(run.Name), state)
		for _, output := range run.Lines {
			b.WriteString("    | " + progress.Clean(output) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
