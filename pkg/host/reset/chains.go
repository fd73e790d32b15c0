package reset

import (
	"bytes"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/netlink"
)

const (
	// cniNetwork is how CNI plugins name the network of our configuration in the comments of their rules.
	cniNetwork = `name: "cbr0"`
	// sharedCNI starts the names of the chains that all networks of the portmap plugin share.
	sharedCNI = "CNI-HOSTPORT-"
)

// chains removes what kubelet, kube-proxy, flannel and CNI plugins put into the tables of iptables, where the host's iptables
// works over nftables: with netlink, because the program may be gone by now.
func (r *Resetter) chains(e ledger.Entry) {
	for _, family := range []struct {
		number uint8
		name   string
	}{{netlink.FamilyIP, "iptables"}, {netlink.FamilyIP6, "ip6tables"}} {
		chains, rules, err := r.Kernel.Chains(family.number)
		if err != nil {
			r.do(e, "delete", family.name+" chains", func() error { return err })
			continue
		}
		removal := nodeChains(chains, rules)
		if removal.Empty() {
			continue
		}
		var names []string
		for _, c := range removal.Chains {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		r.do(e, "delete", family.name+" chains "+strings.Join(slices.Compact(names), ", "), func() error {
			return r.Kernel.Remove(family.number, removal)
		})
	}
}

// compatTable says that iptables makes and uses a table of this name.
func compatTable(name string) bool {
	return slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, name)
}

// nodeChains decides what goes: the chains a node's programs made, the rules that jump to them, and tables which held nothing else.
func nodeChains(chains []netlink.Chain, rules []netlink.Rule) netlink.Removal {
	var removal netlink.Removal
	type id struct{ table, chain string }
	gone := map[id]bool{}
	for _, c := range chains {
		if compatTable(c.Table) && !c.Base && ourChain(c, chains, rules) {
			gone[id{c.Table, c.Name}] = true
			removal.Chains = append(removal.Chains, c)
		}
	}
	held := map[string]bool{}
	for _, rule := range rules {
		switch {
		case gone[id{rule.Table, rule.Chain}]:
		case gone[id{rule.Table, rule.Jump}]:
			removal.Rules = append(removal.Rules, rule)
		default:
			held[rule.Table] = true
		}
	}
	for _, c := range chains {
		if !gone[id{c.Table, c.Name}] && (!c.Base || !c.Accepts) {
			held[c.Table] = true
		}
	}
	// A table of base chains that hold no rule and let everything pass does nothing. Its chains go with it.
	for _, c := range removal.Chains {
		if !held[c.Table] && !slices.Contains(removal.Tables, c.Table) {
			removal.Tables = append(removal.Tables, c.Table)
		}
	}
	return removal
}

// ourChain tells our chains by their names; CNI plugins also work for other runtimes, and say in comments for which network.
func ourChain(c netlink.Chain, chains []netlink.Chain, rules []netlink.Rule) bool {
	switch {
	case strings.HasPrefix(c.Name, "KUBE-"), strings.HasPrefix(c.Name, "FLANNEL-"):
		return true
	case strings.HasPrefix(c.Name, sharedCNI):
		perContainer := func(o netlink.Chain) bool {
			return o.Table == c.Table && strings.HasPrefix(o.Name, "CNI-") && !strings.HasPrefix(o.Name, sharedCNI)
		}
		foreign := func(o netlink.Chain) bool { return perContainer(o) && !ofOurNetwork(o, rules) }
		return slices.ContainsFunc(chains, perContainer) && !slices.ContainsFunc(chains, foreign)
	case strings.HasPrefix(c.Name, "CNI-"):
		return ofOurNetwork(c, rules)
	}
	return false
}

func ofOurNetwork(c netlink.Chain, rules []netlink.Rule) bool {
	return slices.ContainsFunc(rules, func(r netlink.Rule) bool {
		return r.Table == c.Table && r.Jump == c.Name && bytes.Contains(r.Raw, []byte(cniNetwork))
	})
}
