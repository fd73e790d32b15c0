package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// maxKubeletLag is how many minor versions a kubelet may be older than the API server (Kubernetes' version skew policy since 1.28).
const maxKubeletLag = 3

// refuse says why the whole change must not be begun, before anything is touched; nil when it may.
func (b *builder) refuse() error {
	for _, rule := range []func() error{b.refuseFull, b.refuseRenumbering, b.refuseVersion, b.refuseSkew, b.refuseContent, b.refuseDataDirectories, b.refuseMembers} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

// refuseVersion refuses to go back, and to go over more than one minor version at once.
func (b *builder) refuseVersion() error {
	want, err := version.ParseSemantic(b.in.Cluster.Version)
	if err != nil {
		return fmt.Errorf("version %q: %w", b.in.Cluster.Version, err)
	}
	for _, host := range slices.Sorted(maps.Keys(b.in.State.APIServers)) {
		if slices.ContainsFunc(b.in.Leaving, func(l Leaving) bool { return l.Name == host }) {
			continue
		}
		has, err := version.ParseSemantic(b.in.State.APIServers[host])
		switch {
		case err != nil:
			return fmt.Errorf("the API server of %s answers with version %q: %w", host, b.in.State.APIServers[host], err)
		case want.LessThan(has):
			return &RefusedError{RefusedDowngrade, fmt.Sprintf(
				"the API server of %s runs %s, and Kubernetes cannot go back to %s: put the version back to %s or newer",
				host, b.in.State.APIServers[host], b.in.Cluster.Version, b.in.State.APIServers[host])}
		case want.Major() != has.Major() || want.Minor() > has.Minor()+1:
			return &RefusedError{RefusedSkippedMinor, fmt.Sprintf(
				"the API server of %s runs %s; going to %s would skip a minor version: upgrade to v%d.%d first",
				host, b.in.State.APIServers[host], b.in.Cluster.Version, has.Major(), has.Minor()+1)}
		}
	}
	return nil
}

// refuseFull refuses whatever would be done while etcd takes no writes: nothing can be written into the cluster then, and every step that
// needs that would fail for a reason of its own.
func (b *builder) refuseFull() error {
	var full []string
	for _, m := range b.in.State.Members {
		if m.OutOfSpace {
			full = append(full, m.Name)
		}
	}
	if len(full) == 0 {
		return nil
	}
	return &RefusedError{RefusedOutOfSpace, fmt.Sprintf(
		"etcd is out of space (alarm NOSPACE of member %s) and takes no writes: delete what fills it, compact and defragment every member, and disarm the alarm, "+
			"as docs/lifecycle.md says under \"When etcd is out of space\"; then run the operation again", strings.Join(full, ", "))}
}

// refuseRenumbering refuses another address for a host that has joined. A worker would go on under the old one without a word, and of a
// control plane half would be changed. Where the user tells kubelet its address, that says nothing of the Host's.
func (b *builder) refuseRenumbering() error {
	for _, h := range b.in.Cluster.Hosts {
		has := b.in.State.Nodes[h.Name].Addresses
		told, err := kubeadm.NodeAddress(h)
		if err != nil {
			return err
		}
		facts := b.in.Facts[h.Name]
		if len(has) == 0 || slices.Contains(has, h.Address) || told != h.Address || facts == nil || !kubeadm.Joined(facts.Receipts) {
			continue
		}
		return &RefusedError{RefusedRenumbering, fmt.Sprintf(
			"host %s joined as %s and its Host now says %s: the address of a node cannot be changed in place. Set spec.internalAddress of the Host to %s; "+
				"or, for the new address, take the host out of the Cluster, run the operation, and put it in again",
			h.Name, has[0], h.Address, has[0])}
	}
	return nil
}

// refuseSkew refuses kubelets that would be newer, or too much older, than the API servers.
func (b *builder) refuseSkew() error {
	want, err := version.ParseSemantic(b.in.Cluster.Version)
	if err != nil {
		return fmt.Errorf("version %q: %w", b.in.Cluster.Version, err)
	}
	judge := func(host, of, kubelet string) error {
		has, err := version.ParseSemantic(kubelet)
		switch {
		case err != nil:
			return fmt.Errorf("kubelet of %s has version %q: %w", host, kubelet, err)
		case want.LessThan(has):
			return &RefusedError{RefusedVersionSkew, fmt.Sprintf("kubelet of %s %s %s, newer than the cluster's %s: a kubelet must not be newer than the API servers", host, of, kubelet, b.in.Cluster.Version)}
		case has.Minor()+maxKubeletLag < want.Minor():
			return &RefusedError{RefusedVersionSkew, fmt.Sprintf("kubelet of %s %s %s, more than %d minor versions older than the cluster's %s: upgrade its pool first", host, of, kubelet, maxKubeletLag, b.in.Cluster.Version)}
		}
		return nil
	}
	for _, h := range b.in.Cluster.Hosts {
		if node, ok := b.in.State.Nodes[h.Name]; ok && node.Kubelet != "" {
			if err := judge(h.Name, "runs", node.Kubelet); err != nil {
				return err
			}
		}
		if err := judge(h.Name, "is wanted at", h.KubeletVersion); err != nil {
			return err
		}
		if h.Kubelet == nil && b.inScope(h.Name) && b.in.State.Nodes[h.Name].Kubelet != h.KubeletVersion {
			return &RefusedError{RefusedVersionNotInBundle, fmt.Sprintf("pool %s wants kubelet %s on host %s, and the bundle does not hold it: use a bundle with both versions, or let the pool follow the cluster", h.Pool, h.KubeletVersion, h.Name)}
		}
	}
	return nil
}

// refuseDataDirectories refuses to look for data of a host that was set up in another directory than it was set up in.
func (b *builder) refuseDataDirectories() error {
	for _, h := range b.in.Cluster.Hosts {
		facts := b.in.Facts[h.Name]
		if facts == nil || !b.inScope(h.Name) {
			continue
		}
		for _, data := range []struct{ place, field string }{{desired.EtcdPlace, "etcd"}, {desired.ContainerdPlace, "containerd"}, {desired.KubeletPlace, "kubelet"}} {
			place, field := data.place, data.field
			want, has := place, cmp.Or(facts.DataDirectories[place], place)
			for _, d := range h.DataDirectories {
				if d.Place == place {
					want = d.Path
				}
			}
			setUp := facts.DataDirectories[place] != "" || slices.Contains(facts.OwnedPaths, place)
			if !setUp || want == has || (place == desired.EtcdPlace && !h.IsControlPlane()) {
				continue
			}
			return &RefusedError{RefusedDataDirectory, fmt.Sprintf("host %s keeps the data of %s at %s, and data does not move to %s by itself: put dataDirectories.%s back, or take the host out of the cluster and in again with the other directory",
				h.Name, field, has, want, field)}
		}
	}
	return nil
}

// refuseMembers projects etcd's membership over everything this change does to it.
func (b *builder) refuseMembers() error {
	removes := slices.ContainsFunc(b.in.Leaving, func(l Leaving) bool { return l.ControlPlane })
	upgrades := false
	for _, v := range b.in.State.APIServers {
		upgrades = upgrades || v != b.in.Cluster.Version
	}
	if !b.running() || !removes && !upgrades && len(b.joining) == 0 {
		return nil
	}
	if !b.in.State.MembersKnown {
		problem := cmp.Or(b.in.State.MembersProblem, "nobody could be asked")
		return &RefusedError{RefusedMembersUnknown, fmt.Sprintf("the control plane would be changed, and the health of etcd's members cannot be learned (%s): "+
			"see that most control planes can be reached and their etcd answers", strings.ReplaceAll(problem, "\n", "; "))}
	}
	members := b.in.State.Members
	for _, name := range b.forgotten() {
		if err := CanShrink(members, name); err != nil {
			return err
		}
		members = without(members, name)
	}
	if upgrades {
		// Control planes are brought to the version before others join.
		for _, name := range b.updatedControlPlanes {
			if err := CanRestart(members, name); err != nil {
				return b.inTwoEdits(err)
			}
		}
	}
	for _, name := range b.joining {
		// A member whose data is lost has just been forgotten.
		if err := CanGrow(members, name, true); err != nil {
			return err
		}
		members = append(without(members, name), Member{Name: name})
	}
	for _, l := range b.leaving(false) {
		if err := CanShrink(members, l.Name); err != nil {
			return err
		}
		members = without(members, l.Name)
	}
	return nil
}

// inTwoEdits says, of an upgrade that would take too many members down, that replacing control planes comes before it where both were asked
// for at once.
func (b *builder) inTwoEdits(err error) error {
	refused, ok := errors.AsType[*RefusedError](err)
	running := slices.Compact(slices.Sorted(maps.Values(b.in.State.APIServers)))
	// Control planes that are half way already cannot go back.
	if !ok || !b.membersComeAndGo() || len(running) != 1 {
		return err
	}
	return &RefusedError{refused.Reason, fmt.Sprintf(
		"%s. The control planes that come or go in the same edit would do so after the upgrade: put the version back to %s, let them come and go, and upgrade then",
		refused.Message, running[0])}
}

// membersComeAndGo tells that etcd's membership changes beyond members that are dead already.
func (b *builder) membersComeAndGo() bool { return len(b.joining)+len(b.leaving(false)) > 0 }

// membersFirst tells that control planes come and go before static pods are exchanged, and not after: with the members that are left
// once the dead ones are forgotten none could be restarted without losing quorum, so that a replaced machine and another configuration
// in one edit would stop half way. An upgrade that this holds for is refused; within one version both orders are right, and the other one
// lets workers join sooner.
func (b *builder) membersFirst() bool {
	members := b.in.State.Members
	for _, name := range b.forgotten() {
		members = without(members, name)
	}
	return b.membersComeAndGo() && slices.ContainsFunc(b.updatedControlPlanes, func(name string) bool { return CanRestart(members, name) != nil })
}

// comingAndGoing takes out of the needs of control planes that come and go the wait for those that stay, where membersFirst holds.
func (b *builder) comingAndGoing(list []engine.Need) []engine.Need {
	if !b.membersFirst() {
		return list
	}
	return slices.DeleteFunc(list, func(n engine.Need) bool { return n.Step == StepCPReturn })
}

// leaving lists the control planes that go, those that are dead already or those that still serve.
func (b *builder) leaving(dead bool) []Leaving {
	var list []Leaving
	for _, l := range b.in.Leaving {
		if l.ControlPlane && b.in.State.dead(l) == dead {
			list = append(list, l)
		}
	}
	return list
}
