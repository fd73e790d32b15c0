package preflight

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

func rule(verdict string, matches ...hostapi.FirewallMatch) hostapi.FirewallRule {
	return hostapi.FirewallRule{Verdict: verdict, If: matches}
}

func is(field string, values ...string) hostapi.FirewallMatch {
	return hostapi.FirewallMatch{Field: field, Values: values}
}

func not(m hostapi.FirewallMatch) hostapi.FirewallMatch {
	m.Not = true
	return m
}

// guard is a table with one base chain, and others that it may lead to.
func guard(hook string, drops bool, rules []hostapi.FirewallRule, others ...hostapi.FirewallChain) hostapi.FirewallTable {
	return hostapi.FirewallTable{Family: "inet", Name: "guard", Chains: append([]hostapi.FirewallChain{{Name: "base", Hook: hook, Drops: drops, Rules: rules}}, others...)}
}

func TestAFirewallIsInTheWayOnlyWhenItIsCertain(t *testing.T) {
	const input, forward, output, accept, drop = "input", "forward", "output", hostapi.FirewallAccept, hostapi.FirewallDrop
	established, ssh := rule(accept, is("state", "established", "related")), rule(accept, is("protocol", "6"), is("port", "22-22"))
	lists := func(rules ...hostapi.FirewallRule) []hostapi.FirewallRule { return rules }
	for name, test := range map[string]struct {
		table hostapi.FirewallTable
		// stops are texts of the problem; none for no problem. passes are texts that it does not have.
		stops, passes []string
	}{
		"open for SSH alone": {guard(input, true, lists(established, rule(accept, is("in", "lo")), ssh)), []string{
			"table inet guard, chain base drops 6443/TCP (kube-apiserver) from other nodes, 10250/TCP (kubelet) from other nodes, 8472/UDP", "6443/TCP (kube-apiserver) from pods", "docs/requirements.md",
		}, []string{"2379", "10257", "7443"}},
		"open for what nodes need": {guard(input, true, lists(established,
			rule(accept, is("protocol", "6"), is("port", "6443-6443", "10250-10250")), rule(accept, is("protocol", "17"), is("port", "8472-8472")))), nil, nil},
		"open for the other node and for pods": {guard(input, true, lists(
			rule(accept, is("source", "192.0.2.0-192.0.2.255")), rule(accept, is("source", "10.244.0.0-10.244.255.255")))), nil, nil},
		"open for others alone": {guard(input, true, lists(rule(accept, is("source", "198.51.100.0-198.51.100.255")))), []string{"10250/TCP"}, nil},
		"open by its policy":    {guard(input, false, lists(established)), nil, nil},
		"closed for one port": {guard(input, false, lists(rule(drop, is("protocol", "6"), is("port", "10000-11000")))),
			[]string{"drops 10250/TCP (kubelet) from other nodes;"}, nil},
		"closed at other interfaces":  {guard(input, false, lists(rule(drop, is("in", "eth1")))), nil, nil},
		"closed but at one interface": {guard(input, false, lists(rule(drop, not(is("in", "lo", "cni*"))))), []string{"10250/TCP"}, []string{"from pods"}},
		"by a chain of its own": {guard(input, false, lists(rule("jump"), hostapi.FirewallRule{Verdict: "jump", Chain: "zone"}),
			hostapi.FirewallChain{Name: "zone", Rules: lists(ssh, rule(drop))}), nil, nil},
		"by a chain it jumps to": {guard(input, false, lists(established, hostapi.FirewallRule{Verdict: "jump", Chain: "zone"}),
			hostapi.FirewallChain{Name: "zone", Rules: lists(ssh, rule(drop))}), []string{"10250/TCP"}, nil},
		"by what comes after a chain that returns": {guard(input, false, lists(hostapi.FirewallRule{Verdict: "jump", Chain: "zone"}, rule(drop)),
			hostapi.FirewallChain{Name: "zone", Rules: lists(ssh, rule("return"), rule(accept))}), []string{"10250/TCP"}, nil},
		"not by what comes after a goto": {guard(input, false, lists(hostapi.FirewallRule{Verdict: "goto", Chain: "zone"}, rule(drop)),
			hostapi.FirewallChain{Name: "zone", Rules: lists(ssh)}), nil, nil},
		"by the policy after a goto": {guard(input, true, lists(hostapi.FirewallRule{Verdict: "goto", Chain: "zone"}),
			hostapi.FirewallChain{Name: "zone", Rules: lists(ssh)}), []string{"10250/TCP"}, nil},
		"not certain: it accepts by what is not understood": {guard(input, true, lists(hostapi.FirewallRule{Verdict: accept, Unclear: true})), nil, nil},
		"not certain: it drops by what is not understood":   {guard(input, false, lists(hostapi.FirewallRule{Verdict: drop, Unclear: true})), nil, nil},
		"certain after what is not understood has dropped":  {guard(input, true, lists(hostapi.FirewallRule{Verdict: drop, Unclear: true})), []string{"10250/TCP"}, nil},
		"not certain: it may leave a chain that drops": {guard(input, false, lists(hostapi.FirewallRule{Verdict: "jump", Chain: "zone"}),
			hostapi.FirewallChain{Name: "zone", Rules: lists(hostapi.FirewallRule{Verdict: "return", Unclear: true}, rule(drop))}), nil, nil},
		"certain: either way it is dropped": {guard(input, true, lists(hostapi.FirewallRule{Verdict: "jump", Chain: "zone", Unclear: true}),
			hostapi.FirewallChain{Name: "zone", Rules: lists(rule(drop))}), []string{"10250/TCP"}, nil},
		"chains that lead to each other": {guard(input, true, lists(hostapi.FirewallRule{Verdict: "jump", Chain: "base"})), nil, nil},
		"forwarding is dropped": {guard(forward, true, nil), []string{
			"chain base drops what pods send to pods of the same node, what pods send to pods of other nodes, what pods of other nodes send to pods;",
		}, nil},
		"forwarding of pods is let through": {guard(forward, true, lists(
			rule(accept, is("source", "10.244.0.0-10.244.255.255")), rule(accept, is("destination", "10.244.0.0-10.244.255.255")))), nil, nil},
		"forwarding to some ports is let through": {guard(forward, true, lists(rule(accept, is("protocol", "6"), is("port", "80-80")))), nil, nil},
		"what the host sends is dropped":          {guard(output, true, lists(established)), []string{"drops 10250/TCP (kubelet) to other nodes, 8472/UDP"}, []string{"6443"}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &desired.Cluster{Endpoint: desired.Endpoint{Type: v1alpha1.LocalProxyEndpoint, Host: "127.0.0.1", Port: 7443}, Hosts: []desired.Host{
				{Name: "cp1", Address: "192.0.2.1", Role: v1alpha1.ControlPlaneRole}, {Name: "w1", Address: "192.0.2.2", Role: v1alpha1.WorkerRole},
			}}
			cluster.Network.PodCIDR, cluster.Network.CNI = "10.244.0.0/16", v1alpha1.CNI{Type: v1alpha1.FlannelCNI, FlannelBackend: "vxlan"}
			facts := goodFacts("a", "192.0.2.1")
			facts.Firewall = []hostapi.FirewallTable{test.table}
			j := &judge{cluster: cluster, host: cluster.Hosts[0], facts: facts}
			firewall(j)
			said := Format(j.problems)
			if (said != "") != (len(test.stops) > 0) {
				t.Errorf("it says %q", said)
			}
			for _, text := range test.stops {
				if !strings.Contains(said, text) {
					t.Errorf("%q does not say %q", said, text)
				}
			}
			for _, text := range test.passes {
				if strings.Contains(said, text) {
					t.Errorf("%q says %q", said, text)
				}
			}
			facts.Owner = &hostapi.Owner{}
			j = &judge{cluster: cluster, host: cluster.Hosts[0], facts: facts}
			if firewall(j); len(j.problems) > 0 || (len(j.notes) > 0) != (len(test.stops) > 0) {
				t.Errorf("of a running node it is said %v, %v", j.problems, j.notes)
			}
		})
	}
}
