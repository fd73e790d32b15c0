package plan

import "github.com/kubewright/kubewright/pkg/engine"

// forgotten lists the hosts whose etcd members do not serve any more.
func (b *builder) forgotten() []string {
	var hosts []string
	for _, l := range b.leaving(true) {
		hosts = append(hosts, l.Name)
	}
	return append(hosts, b.reinstalled...)
}

// forget removes etcd members that do not serve any more, before anybody joins: with them, a joining member could cost quorum, and a
// reinstalled host must not come back as who it was.
func (b *builder) forget() error {
	if hosts := b.forgotten(); len(hosts) > 0 {
		b.steps = append(b.steps, Step{ID: StepForget, Title: "Forget etcd members that are gone", Hosts: hosts, Exclusive: membershipGroup, Guard: GuardEtcdCanShrink,
			Needs: onAll(StepContent, StepImages, StepSnapshot), Action: RemoveMember{}})
	}
	return nil
}

// leave takes hosts out of the cluster one by one: pods first, then the etcd member, then what we placed on the machine, and the node
// last. A control plane that still serves leaves only when those that join have joined.
func (b *builder) leave() error {
	var drained, cleaned, members, all []string
	for _, l := range b.in.Leaving {
		all = append(all, l.Name)
		if l.Orphan {
			continue
		}
		cleaned = append(cleaned, l.Name)
		drained = append(drained, l.Name)
	}
	for _, l := range b.leaving(false) {
		members = append(members, l.Name)
	}
	if len(all) == 0 {
		return nil
	}
	begin := b.comingAndGoing(onAll(StepContent, StepForget, StepSnapshot, StepControlPlane, StepCPReturn, StepProxy))
	policy := b.in.Cluster.Rollout.Drain
	add := func(s Step) {
		if len(s.Hosts) > 0 {
			s.Lane = LaneLeaving
			b.steps = append(b.steps, s)
		}
	}
	if !policy.Disabled {
		add(Step{ID: StepLeaveDrain, Title: "Drain nodes that leave", Hosts: drained, Needs: begin, Action: Drain{Policy: policy, Gone: true}})
	}
	add(Step{ID: StepLeaveMember, Title: "Remove etcd members that leave", Hosts: members, Exclusive: membershipGroup, Guard: GuardEtcdCanShrink,
		Needs: append(onSame(StepLeaveDrain), begin...), Action: RemoveMember{}})
	add(Step{ID: StepLeaveReset, Title: "Remove what was placed", Hosts: cleaned, Needs: append(onSame(StepLeaveDrain, StepLeaveMember), begin...), Action: ResetHost{}})
	add(Step{ID: StepLeaveNode, Title: "Remove nodes that left", Hosts: all,
		Needs: append(append(onSame(StepLeaveReset, StepForget), begin...), engine.Need{Step: StepLeaveMember, Scope: engine.SameHost}), Action: DeleteNode{}})
	return nil
}
