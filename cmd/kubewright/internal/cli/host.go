package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/progress"
)

// hostLimit is how long the controllers get to take note of what is asked of a host.
const hostLimit = 30 * time.Second

func newHost(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Show hosts, give up a dead one, let a quarantined one back in, forget one",
		Example: `  kubewright host list
  kubewright host orphan n3
  kubewright host end-quarantine n3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newHostList(env),
		newHostVerb(env, "orphan", "Say that a machine is gone for good",
			`Orphan says that the machine of a Host is gone for good, or that somebody else deals with it: when the host leaves its cluster, its
node and etcd member are removed and nobody contacts the machine. Take the host out of the cluster's file then and run kubewright up.

The cluster refuses from then on whatever the kubelet of that machine writes, should it come back. Its certificate cannot be revoked:
Kubernetes knows no way; until it runs out, its holder can read what every kubelet can.`, orphanHost),
		newHostVerb(env, "end-quarantine", "Say that a quarantined machine is clean",
			`End-quarantine says that the machine of a quarantined Host was cleaned by hand, so that clusters take it again, and that it is cleaned
again when it leaves one. For another machine under the same name, which has other host keys, use kubewright host forget instead.`, endQuarantine),
		newHostVerb(env, "forget", "Delete a Host that no cluster holds",
			`Forget deletes the Host of a machine that no cluster holds, with its quarantine and the host key that was recorded; a file that describes
the Host makes it again. A host of a cluster is taken out of that first.`, forgetHost),
	)
	return cmd
}

// newHostVerb makes a command that does one thing to one Host.
func newHostVerb(env Environment, verb, short, long string, do func(ctx context.Context, a *act, host *v1alpha1.Host) error) *cobra.Command {
	o := &actOptions{}
	cmd := &cobra.Command{
		Use: verb + " HOST", Short: short, Long: long, Example: "  kubewright host " + verb + " n3",
		Args: exactly("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.within(cmd.Context(), env, "host "+verb, func(a *act) error {
				host, err := a.findHost(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return do(cmd.Context(), a, host)
			})
		},
	}
	stateDirFlag(cmd, &o.stateDir)
	namespaceFlag(cmd, &o.namespace)
	return cmd
}

// findHost finds the Host of a name.
func (a *act) findHost(ctx context.Context, name string) (*v1alpha1.Host, error) {
	var list v1alpha1.HostList
	if err := a.session.Client.List(ctx, &list, client.InNamespace(a.namespace)); err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	var found []*v1alpha1.Host
	var names []string
	for i := range list.Items {
		host := &list.Items[i]
		names = append(names, host.Namespace+"/"+host.Name)
		if name == host.Name || name == host.Namespace+"/"+host.Name {
			found = append(found, host)
		}
	}
	slices.Sort(names)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, badInput(fmt.Errorf("there are several Hosts %s", name), "name one as NAMESPACE/HOST, or give --namespace")
	case len(names) == 0:
		return nil, badInput(fmt.Errorf("there is no Host %s, and no other one", name), "")
	}
	return nil, badInput(fmt.Errorf("there is no Host %s; there are %s", name, strings.Join(names, ", ")), "")
}

func orphanHost(ctx context.Context, a *act, host *v1alpha1.Host) error {
	change := client.MergeFrom(host.DeepCopy())
	host.Spec.OnRemoval = v1alpha1.OrphanOnRemoval
	if err := a.session.Client.Patch(ctx, host, change); err != nil {
		return fmt.Errorf("set spec.onRemoval of Host %s: %w", host.Name, err)
	}
	next := "It is in no cluster."
	if claim := host.Status.Claim; claim != nil {
		next = fmt.Sprintf("Next: take it out of the file of the cluster %s, and run kubewright up.", claim.ClusterName)
	}
	_, err := fmt.Fprintf(a.env.Out, "Host %s is given up when it leaves its cluster: nobody contacts its machine any more.\n%s\n", host.Name, next)
	return err
}

// quarantined is why no cluster takes a host; empty when they do.
func quarantined(host *v1alpha1.Host) string {
	if c := meta.FindStatusCondition(host.Status.Conditions, v1alpha1.HostQuarantinedCondition); c != nil && c.Status == metav1.ConditionTrue {
		return c.Message
	}
	return ""
}

func endQuarantine(ctx context.Context, a *act, host *v1alpha1.Host) error {
	if quarantined(host) == "" {
		return badInput(fmt.Errorf("host %s is not quarantined", host.Name), "")
	}
	change := client.MergeFrom(host.DeepCopy())
	metav1.SetMetaDataAnnotation(&host.ObjectMeta, v1alpha1.EndQuarantineAnnotation, "true")
	// A machine that may be used again is not gone for good; a file that says so still wins.
	host.Spec.OnRemoval = v1alpha1.ResetOnRemoval
	if err := a.session.Client.Patch(ctx, host, change); err != nil {
		return fmt.Errorf("set the annotation %s of Host %s: %w", v1alpha1.EndQuarantineAnnotation, host.Name, err)
	}
	if err := a.untilHost(ctx, host, func(h *v1alpha1.Host) bool { return h != nil && quarantined(h) == "" }); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.env.Out, "Host %s is free: clusters take it again.\n", host.Name)
	return err
}

func forgetHost(ctx context.Context, a *act, host *v1alpha1.Host) error {
	if claim := host.Status.Claim; claim != nil {
		return badInput(fmt.Errorf("the cluster %s holds host %s", claim.ClusterName, host.Name),
			"take it out of the cluster's file and run kubewright up; when its machine is gone, run kubewright host orphan "+host.Name+" before")
	}
	if err := a.session.Client.Delete(ctx, host); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Host %s: %w", host.Name, err)
	}
	if err := a.untilHost(ctx, host, func(h *v1alpha1.Host) bool { return h == nil }); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.env.Out, "Host %s is forgotten. Remove it from files that describe it, or they bring it back.\n", host.Name)
	return err
}

// untilHost has the controllers work, in this process unless another one runs them, until a Host is as wanted; nil is one that is gone.
func (a *act) untilHost(ctx context.Context, host *v1alpha1.Host, is func(*v1alpha1.Host) bool) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hostLimit, fmt.Errorf("the controllers did not take note of it within %s", hostLimit))
	defer cancel()
	if !a.session.Attached() {
		stop, err := a.runControllers(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	key := client.ObjectKeyFromObject(host)
	watch, err := a.session.Client.Watch(ctx, &v1alpha1.HostList{}, client.InNamespace(key.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)})
	if err != nil {
		return fmt.Errorf("watch Host %s: %w", key, err)
	}
	defer watch.Stop()
	for {
		now := &v1alpha1.Host{}
		err := a.session.Client.Get(ctx, key, now)
		switch {
		case apierrors.IsNotFound(err):
			now = nil
		case err != nil:
			return fmt.Errorf("read Host %s: %w", key, errors.Join(err, context.Cause(ctx)))
		}
		if is(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return failed(fmt.Errorf("host %s: %w", key.Name, context.Cause(ctx)), "run the same command again")
		case <-watch.ResultChan():
		}
	}
}

// runControllers begins to run the controllers in this process, without bundles: nothing is done on hosts. The returned function ends them.
func (a *act) runControllers(ctx context.Context) (stop func(), err error) {
	log, closeLog, err := logToFile(a.session.Dir)
	if err != nil {
		return nil, err
	}
	mgr, release, err := session.NewManager(a.session.Config, a.session.Scheme, session.ManagerOptions{ //nolint:contextcheck // a manager gets its context when it starts
		Runner: a.env.Runner, CacheDir: verifiedDir(a.session.Dir.Path()), Addresses: addresses.Local(), Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, closeLog())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := mgr.Start(ctx); err != nil {
			log.Error(err, "run the controllers")
		}
	}()
	return func() {
		cancel()
		<-ended
		release()
		_ = closeLog() // a log
	}, nil
}

// hostJSON is a Host for programs. Fields are only ever added.
type hostJSON struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	Address     string `json:"address"`
	Cluster     string `json:"cluster,omitempty"`
	Role        string `json:"role,omitempty"`
	Reachable   string `json:"reachable"`
	Quarantined string `json:"quarantined,omitempty"`
}

func newHostList(env Environment) *cobra.Command {
	o := &actOptions{}
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List all Hosts with their clusters, and why those that are quarantined are", Example: "  kubewright host list -o json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return o.within(cmd.Context(), env, "host list", func(a *act) error { return a.listHosts(cmd.Context(), output) })
		},
	}
	stateDirFlag(cmd, &o.stateDir)
	namespaceFlag(cmd, &o.namespace)
	outputFlag(cmd, &output)
	return cmd
}

func (a *act) listHosts(ctx context.Context, output string) error {
	var list v1alpha1.HostList
	if err := a.session.Client.List(ctx, &list, client.InNamespace(a.namespace)); err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	hosts := make([]hostJSON, 0, len(list.Items))
	for i := range list.Items {
		h := &list.Items[i]
		one := hostJSON{Namespace: h.Namespace, Name: h.Name, Address: h.Spec.Address, Reachable: "NotTried", Quarantined: quarantined(h)}
		if claim := h.Status.Claim; claim != nil {
			one.Cluster, one.Role = claim.ClusterName, string(claim.Role)
		}
		if c := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostReachableCondition); c != nil && c.Reason != "" {
			one.Reachable = c.Reason
		}
		hosts = append(hosts, one)
	}
	if output == outputJSON {
		return writeJSON(a.env.Out, map[string]any{"hosts": hosts})
	}
	if len(hosts) == 0 {
		_, err := fmt.Fprintln(a.env.Out, "There are no Hosts.")
		return err
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "HOST\tADDRESS\tCLUSTER\tROLE\tREACHABLE")
	for _, h := range hosts {
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%s\n", h.Namespace, h.Name, h.Address, dash(h.Cluster), dash(h.Role), h.Reachable)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	i := -1
	for row := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(a.env.Out, strings.TrimRight(progress.Clean(row), " ")); err != nil {
			return err
		}
		if i >= 0 && hosts[i].Quarantined != "" {
			if _, err := fmt.Fprintln(a.env.Out, progress.Paragraph("quarantined: "+hosts[i].Quarantined, "    ")); err != nil {
				return err
			}
		}
		i++
	}
	return nil
}
