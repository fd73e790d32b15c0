package health

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/servingcert"
)

// Target is a cluster to be checked.
type Target struct {
	// Key of the Cluster object.
	Key client.ObjectKey
	// Version the kubelets of the cluster should have; empty for any.
	Version string
	// Lagging holds the version of nodes, by name, whose kubelet should have another one.
	Lagging map[string]string
	// Nodes whose kubelets are given the serving certificates that they ask for.
	Nodes servingcert.Nodes
}

// wanted is the version the kubelet of a node should have; empty for any.
func (t *Target) wanted(node string) string {
	if version, lags := t.Lagging[node]; lags {
		return version
	}
	return t.Version
}

// Nodes is what a cluster's API says about its nodes.
type Nodes struct {
	// Joined counts all nodes.
	Joined int32
	// Ready counts those that are Ready at the wanted version and that no operation has left without pods.
	Ready int32
	// Via says over which way the cluster was asked and why, when its endpoint does not answer; empty when it does.
	Via string
	// Wrong names some of the others and says what is wrong with them; empty when all are ready.
	Wrong string
	// Denied says which kubelets were denied a serving certificate, and why; empty when none was.
	Denied string
}

// Notes is what people should know of a cluster that is reachable.
func (n Nodes) Notes() string {
	if n.Via == "" || n.Denied == "" {
		return n.Via + n.Denied
	}
	return n.Via + "; " + n.Denied
}

// Checker looks at one cluster once. An error says in words why the cluster is not available, in the same words as long as the cause
// is the same; a *SpaceError says that it can only be read, a *CredentialsError that there is no way to find out, and ErrNotChecked that it was not tried.
type Checker interface {
	Check(ctx context.Context, target Target) (Nodes, error)
}

// ErrNotChecked says that a check did not come about for a reason that has nothing to do with the cluster. It counts for nothing.
var ErrNotChecked = errors.New("the cluster was not checked")

// CredentialsError says that there are no usable credentials to ask a cluster with.
type CredentialsError struct {
	// Secret that should hold them, as namespace/name.
	Secret string
	// Reason they cannot be used, and what to do; never a value.
	Reason string
}

func (e *CredentialsError) Error() string { return "the Secret " + e.Secret + " " + e.Reason }

// Verdict is what is known of a cluster.
type Verdict int

const (
	// Unseen means that nothing was found out since the cluster is watched, or only a single failure.
	Unseen Verdict = iota
	// Reachable means that the last successful check is not older than a single failure.
	Reachable
	// Unreachable means that the cluster failed its checks several times in a row.
	Unreachable
	// Full means that the cluster's etcd is out of space, several times in a row.
	Full
	// Unknown means that there were no credentials to check with, several times in a row.
	Unknown
)

// Record is the newest finding about a cluster.
type Record struct {
	Verdict Verdict
	// Message says why a cluster is not Reachable.
	Message string
	// Nodes of a cluster that is Reachable.
	Nodes Nodes
}
