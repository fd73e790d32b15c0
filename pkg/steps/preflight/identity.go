package preflight

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// foreignOwner refuses a host whose ledger names another cluster.
func foreignOwner(j *judge) {
	if o := j.facts.Owner; o != nil && o.ClusterUID != j.cluster.UID {
		j.refuse("HostOwnedByOtherCluster", fmt.Sprintf(
			"the host belongs to cluster %q (uid %s); reset it there before it can join this one", o.ClusterName, o.ClusterUID))
	}
}

// foreign tells that the host is another cluster's. What that cluster left and runs there is then no problem of its own: listed beside
// the cause it would invite people to remove it piece by piece.
func (j *judge) foreign() bool {
	if j.facts.Owner != nil && !j.ours() {
		return true
	}
	if j.facts.CAHash == "" {
		return false
	}
	want, err := j.cluster.Authorities.Cluster.PublicKeyHash()
	return err == nil && j.facts.CAHash != want
}

// foreignAuthority refuses a host that carries the certificate authority of a cluster that is not this one.
func foreignAuthority(j *judge) {
	if j.facts.CAHash == "" {
		return
	}
	want, err := j.cluster.Authorities.Cluster.PublicKeyHash()
	if err != nil {
		j.refuse("AuthorityUnreadable", fmt.Sprintf("the cluster's own certificate authority cannot be read: %v", err))
		return
	}
	if j.facts.CAHash != want {
		j.refuse("HostInOtherCluster", fmt.Sprintf(
			"/etc/kubernetes/pki/ca.crt belongs to another cluster (public key %s, ours is %s); remove that cluster from the host first", j.facts.CAHash, want))
	}
}

// lostCluster refuses to begin anew when the cluster is known to have been initialised and no control plane holds its data.
func lostCluster(j *judge) {
	if !j.cluster.Initialized || !j.host.IsControlPlane() {
		return
	}
	for _, cp := range j.cluster.ControlPlanes() {
		if facts := j.all[cp.Name]; facts != nil && facts.Has(layout.EtcdMemberDir) {
			return
		}
	}
	j.refuse("ClusterDataLost", "the cluster was initialised before, but none of its control planes holds etcd data any more; "+
		"restore a snapshot, or delete the Cluster and create a new one")
}

// machineID finds machines cloned from one image; kubelet and the pod network tell nodes apart by it.
func machineID(j *judge) {
	var twins []string
	for name, facts := range j.all {
		if name != j.host.Name && facts != nil && facts.MachineID == j.facts.MachineID {
			twins = append(twins, name)
		}
	}
	if len(twins) > 0 {
		sort.Strings(twins)
		j.object("MachineIDUnique", fmt.Sprintf("machine-id %s is also that of %s; give each machine its own (systemd-machine-id-setup)",
			j.facts.MachineID, strings.Join(twins, ", ")))
	}
}
