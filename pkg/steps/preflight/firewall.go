package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/ports"
)

// Names of the interfaces that the pod network makes (flannel, CNI's bridge).
const (
	podBridge = "cni0"
	podTunnel = "flannel.1"
)

// packet is one that a cluster needs to pass a host's firewall. What is "" is not known, or differs.
type packet struct {
	hook     string
	in, out  string
	protocol string
	port     int
	from, to string
	// what it is, for people.
	what string
}

// firewall looks for chains that are certain to drop what the cluster needs. Where a rule looks at something that is not understood here, the
// packet counts as let through.
func firewall(j *judge) {
	if j.foreign() {
		return
	}
	var found []string
	for _, t := range j.facts.Firewall {
		for i := range t.Chains {
			chain := &t.Chains[i]
			if chain.Hook == "" {
				continue
			}
			var dropped []string
			for _, p := range j.packets() {
				if p.hook == chain.Hook && drops(t, chain, p) && !slices.Contains(dropped, p.what) {
					dropped = append(dropped, p.what)
				}
			}
			if len(dropped) > 0 {
				found = append(found, fmt.Sprintf("table %s %s, chain %s drops %s", t.Family, t.Name, chain.Name, strings.Join(dropped, ", ")))
			}
		}
	}
	if j.facts.LegacyFirewall && !j.ours() {
		j.note("Firewall", "iptables-legacy filters packets on the host, whose rules cannot be looked at: see that they let pass what docs/requirements.md lists")
	}
	if len(found) == 0 {
		return
	}
	message := "the firewall is in the way: " + strings.Join(found, "; ") + "; let it pass (docs/requirements.md lists all ports), or turn the firewall off"
	if j.ours() {
		j.note("Firewall", message)
		return
	}
	j.object("Firewall", message)
}

// packets lists what has to pass the firewall of a host: what other nodes send to its ports, what it sends to theirs, and what pods send to
// each other and to the API.
func (j *judge) packets() []packet {
	var list []packet
	device := j.device()
	for _, other := range j.cluster.Hosts {
		if other.Name == j.host.Name {
			continue
		}
		for _, p := range reached(j.cluster, j.host, other) {
			list = append(list, packet{hook: "input", in: device, protocol: p.Protocol, port: p.Number, from: other.Address, to: j.host.Address,
				what: fmt.Sprintf("%s (%s) from other nodes", p.Name(), p.Program)})
		}
		for _, p := range reached(j.cluster, other, j.host) {
			list = append(list, packet{hook: "output", out: device, protocol: p.Protocol, port: p.Number, from: j.host.Address, to: other.Address,
				what: fmt.Sprintf("%s (%s) to other nodes", p.Name(), p.Program)})
		}
	}
	pods, err := netip.ParsePrefix(j.cluster.Network.PodCIDR)
	if err != nil || j.cluster.Network.CNI.Type != v1alpha1.FlannelCNI {
		return list
	}
	tunnel := podTunnel
	if j.cluster.Network.CNI.FlannelBackend != "vxlan" {
		tunnel = device
	}
	// The second network of the range stands for any.
	pod := pods.Addr().Next().String()
	if j.host.IsControlPlane() {
		list = append(list, packet{hook: "input", in: podBridge, protocol: ports.TCP, port: desired.APIServerPort, from: pod, to: j.host.Address,
			what: fmt.Sprintf("%d/TCP (kube-apiserver) from pods", desired.APIServerPort)})
	}
	return append(list,
		packet{hook: "forward", in: podBridge, out: podBridge, protocol: ports.TCP, from: pod, to: pod, what: "what pods send to pods of the same node"},
		packet{hook: "forward", in: podBridge, out: tunnel, protocol: ports.TCP, from: pod, to: pod, what: "what pods send to pods of other nodes"},
		packet{hook: "forward", in: tunnel, out: podBridge, protocol: ports.TCP, from: pod, to: pod, what: "what pods of other nodes send to pods"},
	)
}

// device is the interface that has the node's address, "" when none has.
func (j *judge) device() string {
	for _, i := range j.facts.Interfaces {
		for _, a := range i.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Addr().String() == j.host.Address {
				return i.Name
			}
		}
	}
	return ""
}

// reached lists the ports of a host that another node connects to.
func reached(c *desired.Cluster, host, by desired.Host) []ports.Port {
	var list []ports.Port
	for _, p := range ports.Of(c, host) {
		switch p.From {
		case ports.Nodes, ports.Users:
			list = append(list, p)
		case ports.ControlPlanes:
			if by.IsControlPlane() {
				list = append(list, p)
			}
		}
	}
	return list
}

// answer is whether something is so.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// outcome is what a chain does with a packet.
type outcome int

const (
	// undecided goes on in the chain before, or to the policy of a base chain.
	undecided outcome = iota
	accepted
	dropped
)

// maxDepth bounds how far chains lead to each other; the kernel allows 16.
const maxDepth = 16

// drops reports whether a base chain is certain to drop a packet.
func drops(t hostapi.FirewallTable, base *hostapi.FirewallChain, p packet) bool {
	o := walk(t, base, p, 0)
	return o == dropped || o == undecided && base.Drops
}

// walk follows a packet through a chain. Whatever may accept it counts as if it did, and what only may drop it as if it did not.
func walk(t hostapi.FirewallTable, chain *hostapi.FirewallChain, p packet, depth int) outcome {
	if depth > maxDepth {
		return accepted
	}
	for _, rule := range chain.Rules {
		fits := matches(rule, p)
		if fits == no {
			continue
		}
		switch rule.Verdict {
		case hostapi.FirewallAccept:
			return accepted
		case hostapi.FirewallDrop:
			if fits == yes {
				return dropped
			}
		case hostapi.FirewallReturn:
			if fits == yes {
				return undecided
			}
			// It may leave here, and what would come afterwards is not known: nothing is certain any more.
			return accepted
		case hostapi.FirewallJump, hostapi.FirewallGoto:
			next := find(t, rule.Chain)
			if next == nil {
				return accepted
			}
			o := walk(t, next, p, depth+1)
			switch {
			case o == accepted:
				return accepted
			case fits == maybe && (o == dropped || rule.Verdict == hostapi.FirewallGoto):
				// Either this, or what comes next.
				if o == undecided {
					return accepted
				}
			case o == dropped:
				return dropped
			case rule.Verdict == hostapi.FirewallGoto:
				return undecided
			}
		}
	}
	return undecided
}

func find(t hostapi.FirewallTable, name string) *hostapi.FirewallChain {
	i := slices.IndexFunc(t.Chains, func(c hostapi.FirewallChain) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Chains[i]
}

// matches reports whether a rule is about a packet.
func matches(rule hostapi.FirewallRule, p packet) answer {
	all := yes
	if rule.Unclear {
		all = maybe
	}
	for _, m := range rule.If {
		is := field(m, p)
		if m.Not && is != maybe {
			is = yes - is
		}
		all = min(all, is)
	}
	return all
}

// field reports whether a field of a packet has one of the values.
func field(m hostapi.FirewallMatch, p packet) answer {
	switch m.Field {
	case hostapi.FirewallIn:
		return oneOf(m.Values, p.in)
	case hostapi.FirewallOut:
		return oneOf(m.Values, p.out)
	case hostapi.FirewallFamily:
		return oneOf(m.Values, "4")
	case hostapi.FirewallProtocol:
		return oneOf(m.Values, map[string]string{ports.TCP: "6", ports.UDP: "17"}[p.protocol])
	case hostapi.FirewallState:
		// The first packet of a connection decides whether there is one.
		return oneOf(m.Values, "new")
	case hostapi.FirewallPort:
		if p.port == 0 {
			return maybe
		}
		return inRange(m.Values, func(from, to string) bool {
			first, err := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			return err == nil && err2 == nil && first <= p.port && p.port <= last
		})
	case hostapi.FirewallSource:
		return addressIn(m.Values, p.from)
	case hostapi.FirewallDestination:
		return addressIn(m.Values, p.to)
	}
	return maybe
}

func oneOf(values []string, value string) answer {
	if value == "" {
		return maybe
	}
	for _, v := range values {
		if start, wild := strings.CutSuffix(v, "*"); v == value || (wild && strings.HasPrefix(value, start)) {
			return yes
		}
	}
	return no
}

func addressIn(values []string, address string) answer {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return maybe
	}
	return inRange(values, func(from, to string) bool {
		first, err := netip.ParseAddr(from)
		last, err2 := netip.ParseAddr(to)
		return err == nil && err2 == nil && first.Compare(ip) <= 0 && ip.Compare(last) <= 0
	})
}

func inRange(values []string, within func(from, to string) bool) answer {
	for _, v := range values {
		if from, to, ok := strings.Cut(v, "-"); ok && within(from, to) {
			return yes
		}
	}
	return no
}
