// Package firewall reads the nftables of a host into facts: base chains of type filter at the hooks input, forward and output, and what
// their rules look at. It must not know what a cluster needs. What it does not understand it marks as unclear.
package firewall

import (
	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/netlink"
)

// maxRules bounds how many rules of a table are read. A firewall with more is read as far as that and then unclear.
const maxRules = 4000

// own are tables that a node's own programs make and take back, with a rule for each Service.
var own = map[string]bool{"kube-proxy": true, "flannel-ipv4": true, "cni_plugins_masquerade": true, "cni_hostport": true}

// hooks of a base chain that packets to, through and from a host pass (linux/netfilter.h).
var hooks = map[uint32]string{1: "input", 2: "forward", 3: "output"}

// Read returns the tables that may keep packets off. A kernel without nftables has none.
func Read() ([]api.FirewallTable, error) {
	var tables []api.FirewallTable
	for _, f := range []struct {
		number uint8
		name   string
	}{{netlink.FamilyIP, "ip"}, {netlink.FamilyInet, "inet"}} {
		chains, err := netlink.FilterChains(f.number)
		if err != nil {
			return nil, err
		}
		byTable, order := map[string][]netlink.FilterChain{}, []string(nil)
		for _, c := range chains {
			if byTable[c.Table] == nil {
				order = append(order, c.Table)
			}
			byTable[c.Table] = append(byTable[c.Table], c)
		}
		for _, name := range order {
			if own[name] {
				continue
			}
			r := reader{family: f.number, table: name, sets: map[string][]netlink.Element{}}
			table := api.FirewallTable{Family: f.name, Name: name, Chains: r.reachable(byTable[name])}
			if len(table.Chains) > 0 {
				tables = append(tables, table)
			}
		}
	}
	return tables, nil
}

// reader reads one table.
type reader struct {
	family uint8
	table  string
	sets   map[string][]netlink.Element
	rules  int
}

// reachable reads the base chains, and what can be reached from them.
func (r *reader) reachable(chains []netlink.FilterChain) []api.FirewallChain {
	var read []api.FirewallChain
	seen := map[string]bool{}
	var add func(netlink.FilterChain)
	add = func(c netlink.FilterChain) {
		if seen[c.Name] {
			return
		}
		seen[c.Name] = true
		one := api.FirewallChain{Name: c.Name, Rules: r.chain(c.Name)}
		if c.Type == "filter" {
			one.Hook, one.Drops = hooks[c.Hook], c.Drops
		}
		read = append(read, one)
		for _, rule := range one.Rules {
			for _, next := range chains {
				if rule.Chain == next.Name {
					add(next)
				}
			}
		}
	}
	for _, c := range chains {
		if c.Type == "filter" && hooks[c.Hook] != "" {
			add(c)
		}
	}
	return read
}

// chain reads the rules of a chain. One that cannot be read, or has too many, ends with a rule that may accept anything.
func (r *reader) chain(name string) []api.FirewallRule {
	unclear := api.FirewallRule{Unclear: true, Verdict: api.FirewallAccept}
	rules, err := netlink.Expressions(r.family, r.table, name)
	if err != nil {
		return []api.FirewallRule{unclear}
	}
	var read []api.FirewallRule
	for _, expressions := range rules {
		if r.rules++; r.rules > maxRules {
			return append(read, unclear)
		}
		read = append(read, r.rule(expressions)...)
	}
	return read
}
