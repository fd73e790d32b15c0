package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ranges refuses address ranges of pods and Services in which something lies that the host has to reach: it would be sent to a pod or a
// Service, or the other way round. On a host that is ours such addresses are those of its own pods.
func ranges(j *judge) {
	if j.ours() || j.foreign() {
		return
	}
	for _, r := range []struct{ field, value string }{
		{"spec.network.podCIDR", j.cluster.Network.PodCIDR}, {"spec.network.serviceCIDR", j.cluster.Network.ServiceCIDR},
	} {
		prefix, err := netip.ParsePrefix(r.value)
		if err != nil {
			continue
		}
		if found := j.within(prefix); len(found) > 0 {
			j.object("NetworkOverlap", fmt.Sprintf("%s %s overlaps %s; choose a range that nothing else uses", r.field, r.value, strings.Join(found, ", ")))
		}
	}
}

// within lists what the host has, and has to reach, that overlaps a range. A route over a gateway to a network that holds the whole range,
// and much more, says nothing: sites route all their private addresses somewhere.
func (j *judge) within(r netip.Prefix) []string {
	var found []string
	for _, i := range j.facts.Interfaces {
		for _, a := range i.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Overlaps(r) {
				found = append(found, fmt.Sprintf("%s of %s", a, i.Name))
			}
		}
	}
	for _, route := range j.facts.Routes {
		prefix, err := netip.ParsePrefix(route.Network)
		if err != nil || !prefix.Overlaps(r) || (route.Gateway && prefix.Bits() < r.Bits()) {
			continue
		}
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasSuffix(f, " of "+route.Interface) }) {
			found = append(found, fmt.Sprintf("the route to %s over %s", route.Network, route.Interface))
		}
	}
	holds := func(what, address string) {
		if ip, err := netip.ParseAddr(address); err == nil && r.Contains(ip) {
			found = append(found, what+" "+address)
		}
	}
	for _, h := range j.cluster.Hosts {
		if h.Name != j.host.Name {
			holds("the node "+h.Name+" at", h.Address)
		}
	}
	for _, ns := range j.facts.Nameservers {
		holds("the name server", ns)
	}
	holds("the endpoint", j.cluster.Endpoint.Host)
	return found
}
