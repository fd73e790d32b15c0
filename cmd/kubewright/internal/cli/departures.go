package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/progress"
)

// departures tells which hosts an operation for the cluster's spec would take out of it, and what becomes of them. known come before
// what the API server has.
func departures(ctx context.Context, reader client.Reader, cluster *v1alpha1.Cluster, known map[string]*v1alpha1.Host) ([]progress.Departure, error) {
	var hosts v1alpha1.HostList
	if err := reader.List(ctx, &hosts, client.InNamespace(cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	for i := range hosts.Items {
		if given := known[hosts.Items[i].Name]; given != nil {
			hosts.Items[i].Spec = given.Spec
		}
	}
	return departuresOf(cluster, hosts.Items), nil
}

// departuresOf is the same for hosts that are known as they are.
func departuresOf(cluster *v1alpha1.Cluster, hosts []v1alpha1.Host) []progress.Departure {
	var out []progress.Departure
	leaving := operation.Leaving(cluster, hosts)
	for i := range hosts {
		if slices.Contains(leaving, hosts[i].Name) {
			out = append(out, progress.DepartureOf(&hosts[i]))
		}
	}
	slices.SortFunc(out, func(a, b progress.Departure) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// departuresIn are those of a snapshot.
func departuresIn(s *follow.Snapshot) []progress.Departure {
	hosts := make([]v1alpha1.Host, 0, len(s.Hosts))
	for _, host := range s.Hosts {
		hosts = append(hosts, *host)
	}
	return departuresOf(s.Cluster, hosts)
}

// writeDepartures says who leaves and what is lost with them; nothing when nobody does.
func writeDepartures(w io.Writer, cluster *v1alpha1.Cluster, leaving []progress.Departure) error {
	if len(leaving) == 0 {
		return nil
	}
	if err := progress.Departures(w, cluster.Namespace+"/"+cluster.Name, leaving); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// namesOf lists the hosts' names.
func namesOf(leaving []progress.Departure) []string {
	var names []string
	for _, d := range leaving {
		names = append(names, d.Name)
	}
	return names
}

// confirmDepartures has the user agree that hosts leave, before anything is stored. A cluster whose operations wait for approval asks
// then, with the whole plan.
func (o *upOptions) confirmDepartures(ctx context.Context, env Environment, cluster *v1alpha1.Cluster, leaving []progress.Departure) error {
	if len(leaving) == 0 {
		return nil
	}
	if err := writeDepartures(env.Out, cluster, leaving); err != nil {
		return err
	}
	if o.yes || cluster.Spec.OperationPolicy == v1alpha1.ManualOperations {
		return nil
	}
	return confirm(ctx, env, "Take them out of the cluster?", "add --yes if these hosts are to leave, or put them back into "+o.file)
}
