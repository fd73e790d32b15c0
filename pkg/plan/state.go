package plan

// State is what was seen of a running cluster before anything is planned. The zero value is a cluster that does not exist yet.
type State struct {
	// Nodes by name, as the API has them.
	Nodes map[string]Node
	// NodesKnown is true when the API listed them.
	NodesKnown bool
	// APIServers holds the version each control plane's API server answers with; one that does not answer is missing.
	APIServers map[string]string
	// Members of etcd. MembersKnown is false when no member could be asked, and MembersProblem says why.
	Members        []Member
	MembersKnown   bool
	MembersProblem string
}

// Node is one node as the API has it.
type Node struct {
	// Kubelet is its version with the leading v.
	Kubelet string
	Ready   bool
	// Addresses are those at which other nodes reach it, as its kubelet reports them.
	Addresses []string
	// Blank is true until its kubelet has filled it in.
	Blank bool
	// Cordoned is true while it takes no pods.
	Cordoned bool
}

// Member is one member of etcd as it was seen.
type Member struct {
	// Name is that of its host.
	Name    string
	Learner bool
	// Unstarted is true for a member that was announced to the others and has never run.
	Unstarted bool
	// OutOfSpace is true for a member that has raised the alarm NOSPACE; while one has, etcd takes no writes from anybody.
	OutOfSpace bool
	// Problem is empty for a member that answers and agrees with its own cluster.
	Problem string
}

// Leaving is a host that belongs to the cluster and does not stand in its spec any more.
type Leaving struct {
	Name string
	// ControlPlane is true when it has a member of etcd.
	ControlPlane bool
	// Orphan is true for a machine that is not contacted any more: only the cluster forgets it.
	Orphan bool
}

// dead tells that a leaving host's member does not serve the cluster any more, so that it has to go before others come.
func (s State) dead(l Leaving) bool {
	if l.Orphan {
		return true
	}
	for _, m := range s.Members {
		if m.Name == l.Name {
			return m.Problem != ""
		}
	}
	return false
}
