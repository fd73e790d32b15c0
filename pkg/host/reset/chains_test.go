package reset

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/netlink"
)

func base(table, name string) netlink.Chain {
	return netlink.Chain{Table: table, Name: name, Base: true, Accepts: true}
}

func chain(table, name string) netlink.Chain { return netlink.Chain{Table: table, Name: name} }

func rule(table, in string, handle uint64, jump, comment string) netlink.Rule {
	return netlink.Rule{Table: table, Chain: in, Handle: handle, Jump: jump, Raw: []byte("\x01\x02" + comment)}
}

func TestOnlyWhatANodesProgramsMadeLeavesTheTablesOfIptables(t *testing.T) {
	const ours, theirs = `dnat name: "cbr0" id: "1"`, `dnat name: "podman" id: "2"`
	dropping := base("filter", "INPUT")
	dropping.Accepts = false
	for _, tt := range []struct {
		name   string
		chains []netlink.Chain
		rules  []netlink.Rule
		// gone are chains as table/name, rules their handles.
		gone   []string
		rulesG []uint64
		tables []string
	}{
		{
			name:   "kubelet's chains go with the rules that lead to them, and so does a table that held nothing else",
			chains: []netlink.Chain{base("filter", "OUTPUT"), chain("filter", "KUBE-FIREWALL"), base("mangle", "PREROUTING"), chain("mangle", "KUBE-KUBELET-CANARY")},
			rules:  []netlink.Rule{rule("filter", "OUTPUT", 5, "KUBE-FIREWALL", ""), rule("filter", "KUBE-FIREWALL", 6, "", "")},
			gone:   []string{"filter/KUBE-FIREWALL", "mangle/KUBE-KUBELET-CANARY"}, rulesG: []uint64{5}, tables: []string{"filter", "mangle"},
		},
		{
			name:   "a table with a rule of somebody else stays",
			chains: []netlink.Chain{base("nat", "OUTPUT"), chain("nat", "KUBE-SERVICES"), chain("nat", "DOCKER_OUTPUT")},
			rules:  []netlink.Rule{rule("nat", "OUTPUT", 5, "KUBE-SERVICES", ""), rule("nat", "OUTPUT", 6, "DOCKER_OUTPUT", "")},
			gone:   []string{"nat/KUBE-SERVICES"}, rulesG: []uint64{5},
		},
		{
			name:   "a table that drops by default stays",
			chains: []netlink.Chain{dropping, chain("filter", "KUBE-FORWARD")},
			gone:   []string{"filter/KUBE-FORWARD"},
		},
		{
			name:   "host ports of our network go with the chains for all networks",
			chains: []netlink.Chain{base("nat", "OUTPUT"), chain("nat", "CNI-HOSTPORT-DNAT"), chain("nat", "CNI-DN-1")},
			rules:  []netlink.Rule{rule("nat", "OUTPUT", 5, "CNI-HOSTPORT-DNAT", ""), rule("nat", "CNI-HOSTPORT-DNAT", 6, "CNI-DN-1", ours)},
			gone:   []string{"nat/CNI-HOSTPORT-DNAT", "nat/CNI-DN-1"}, rulesG: []uint64{5}, tables: []string{"nat"},
		},
		{
			name:   "host ports of another network keep the chains they share with ours",
			chains: []netlink.Chain{base("nat", "OUTPUT"), chain("nat", "CNI-HOSTPORT-DNAT"), chain("nat", "CNI-DN-1"), chain("nat", "CNI-DN-2")},
			rules: []netlink.Rule{
				rule("nat", "OUTPUT", 5, "CNI-HOSTPORT-DNAT", ""), rule("nat", "CNI-HOSTPORT-DNAT", 6, "CNI-DN-1", ours), rule("nat", "CNI-HOSTPORT-DNAT", 7, "CNI-DN-2", theirs),
			},
			gone: []string{"nat/CNI-DN-1"}, rulesG: []uint64{6},
		},
		{
			name:   "a chain of that name in a table that is not iptables' is somebody's own",
			chains: []netlink.Chain{chain("firewall", "KUBE-ALLOW")},
		},
		{
			name:   "nothing of ours, nothing to do, also where a table is empty",
			chains: []netlink.Chain{base("filter", "INPUT"), chain("filter", "ufw-user")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := nodeChains(tt.chains, tt.rules)
			var gone []string
			for _, c := range got.Chains {
				gone = append(gone, c.Table+"/"+c.Name)
			}
			var handles []uint64
			for _, r := range got.Rules {
				handles = append(handles, r.Handle)
			}
			if !slices.Equal(gone, tt.gone) || !slices.Equal(handles, tt.rulesG) || !slices.Equal(got.Tables, tt.tables) {
				t.Errorf("chains %q, rules %v, tables %q", gone, handles, got.Tables)
			}
		})
	}
}
