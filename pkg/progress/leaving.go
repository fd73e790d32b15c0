package progress

import (
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Departure is a host that leaves its cluster, and what becomes of it.
type Departure struct {
	Name string
	// Role and Pool it had; Pool is empty for control planes.
	Role v1alpha1.HostRole
	Pool string
	// Orphan says that the machine is left alone.
	Orphan bool
}

// DepartureOf describes a host that a cluster holds.
func DepartureOf(host *v1alpha1.Host) Departure {
	d := Departure{Name: host.Name, Orphan: host.Spec.OnRemoval == v1alpha1.OrphanOnRemoval}
	if claim := host.Status.Claim; claim != nil {
		d.Role, d.Pool = claim.Role, claim.Pool
	}
	return d
}

// Fate says in a sentence what becomes of the host and of what it holds.
func (d Departure) Fate() string {
	who := "worker"
	if d.Pool != "" {
		who += " of pool " + d.Pool
	}
	gone := "its node is removed"
	if d.Role == v1alpha1.ControlPlaneRole {
		who, gone = "control plane", "its etcd member and node are removed"
	}
	if d.Orphan {
		return who + ": " + gone + "; the machine is left alone (onRemoval is Orphan)"
	}
	return who + ": it is drained, " + gone + ", and Kubernetes is removed from the machine with all data that pods keep there"
}

// Departures writes which hosts leave a cluster and what is lost with them; nothing when none do.
func Departures(w io.Writer, cluster string, leaving []Departure) error {
	if len(leaving) == 0 {
		return nil
	}
	var b strings.Builder
	leaves := "leave"
	if len(leaving) == 1 {
		leaves = "leaves"
	}
	fmt.Fprintf(&b, "%s %s the cluster %s:\n", plural(len(leaving), "host"), leaves, Clean(cluster))
	for _, d := range leaving {
		b.WriteString(hang("  "+Clean(d.Name)+": ", d.Fate(), "      ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
