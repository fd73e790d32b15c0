package plan

import (
	"fmt"
	"slices"
)

// quorum is how many of n voting members must agree: the majority that raft needs.
func quorum(n int) int { return n/2 + 1 }

// CanGrow refuses to add a member unless every present one is well. It lets pass what a cut-off attempt left and kubeadm continues with:
// a learner that never started, and the joining host's own member while the host holds its data. Without the data it is refused: kubeadm,
// which knows members by their address, would start it again with an empty log, and etcd relies on what a member once promised. The error
// is a *RefusedError.
func CanGrow(members []Member, joining string, holdsData bool) error {
	for _, m := range members {
		what := m.Problem
		if what == "" && m.Learner {
			what = "is still a learner"
		}
		switch {
		case m.Unstarted && m.Learner:
		case m.Name == joining && !holdsData:
			return &RefusedError{RefusedQuorum, fmt.Sprintf(
				"etcd counts on a member of host %s whose data is not on the host any more: run the operation again, which removes that member first", joining)}
		case m.Name != joining && what != "":
			return &RefusedError{RefusedQuorum, fmt.Sprintf("adding an etcd member now could cost quorum: member %s %s; repair it first", m.Name, what)}
		}
	}
	return nil
}

// CanShrink refuses to remove a member when those that are well afterwards are no majority of those that are left. A member that is
// not there any more can always be forgotten. The error is a *RefusedError.
func CanShrink(members []Member, leaving string) error {
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == leaving }) {
		return nil
	}
	voters, well := 0, 0
	for _, m := range members {
		if m.Name == leaving || m.Learner {
			continue
		}
		voters++
		if m.Problem == "" {
			well++
		}
	}
	if voters == 0 {
		return &RefusedError{RefusedQuorum, fmt.Sprintf("member %s is the last one of etcd: removing it would lose the cluster; delete the Cluster instead", leaving)}
	}
	if well < quorum(voters) {
		return &RefusedError{RefusedQuorum, fmt.Sprintf(
			"removing etcd member %s would cost quorum: %d of the %d members left would be well, %d are needed; repair the others first",
			leaving, well, voters, quorum(voters))}
	}
	return nil
}

// CanRestart refuses to take a member down for a moment when the others are no majority without it. A single member may be restarted:
// there is nobody else, and its cluster stands still for as long. The error is a *RefusedError.
func CanRestart(members []Member, host string) error {
	voters, others := 0, 0
	for _, m := range members {
		if m.Learner {
			continue
		}
		voters++
		if m.Name != host && m.Problem == "" {
			others++
		}
	}
	if voters <= 1 || others >= quorum(voters) {
		return nil
	}
	return &RefusedError{RefusedQuorum, fmt.Sprintf(
		"restarting the control plane on %s now would cost quorum: %d of etcd's %d members would be well without it, %d are needed; repair the others first",
		host, others, voters, quorum(voters))}
}

// without returns the members without one.
func without(members []Member, name string) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Name == name })
}
