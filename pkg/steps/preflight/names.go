package preflight

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/steps/dns"
)

// nameservers says what a host has to resolve names outside the cluster with. A host without any is fine where no host has one: cluster
// DNS then answers names inside the cluster alone. CoreDNS ends when it is told to forward to nobody or to itself, so hosts have to be
// alike as long as the spec does not name the servers.
func nameservers(j *judge) {
	if len(dns.Upstreams(j.cluster)) > 0 || dns.Overridden(j.cluster, j.host) {
		return
	}
	r := dns.ResolverOf(j.facts)
	if len(r.Local) > 0 || (len(r.Servers) > 0 && len(r.Dead) > 0) {
		j.object("LoopbackNameserver", fmt.Sprintf("%s names %s, which inside a pod is the pod itself; name servers that pods can reach in spec.network.dns.upstreams, or set resolvConf in overrides.kubelet",
			r.File, strings.Join(append(r.Local, r.Dead...), ", ")))
		return
	}
	if len(r.Servers) > 0 {
		return
	}
	found := fmt.Sprintf("%s names no server", r.File)
	switch {
	case r.Missing:
		found = fmt.Sprintf("%s is missing, or a link that leads nowhere", r.File)
	case len(r.Dead) > 0:
		found = fmt.Sprintf("%s names %s, where nothing answers", r.File, strings.Join(r.Dead, ", "))
	}
	var others []string
	for _, h := range j.cluster.Hosts {
		if facts := j.all[h.Name]; facts != nil && dns.ResolverOf(facts).Known() {
			others = append(others, h.Name)
		}
	}
	switch {
	case len(others) == 0:
		j.note("Nameservers", found+": cluster DNS answers names inside the cluster only; name servers for other names in spec.network.dns.upstreams if there are any")
	case j.ours():
		j.note("Nameservers", fmt.Sprintf("%s, unlike on %s: pods of cluster DNS cannot start here; name servers in spec.network.dns.upstreams", found, some(others)))
	default:
		j.object("Nameservers", fmt.Sprintf("%s, unlike on %s: pods of cluster DNS could not start here; name servers in spec.network.dns.upstreams, or give all hosts some", found, some(others)))
	}
}

// shown is how many hosts a message names.
const shown = 3

// some names a few of many.
func some(names []string) string {
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// endpointName refuses hosts that cannot resolve the name they would reach the API by. A running node is only told so: its name servers
// may be away for a while.
func endpointName(j *judge) {
	if j.facts.EndpointProblem == "" {
		return
	}
	message := fmt.Sprintf("the host cannot resolve %s, the name in spec.controlPlane.endpoint.host: %s; add it to the host's DNS or to its /etc/hosts", j.cluster.Endpoint.Host, j.facts.EndpointProblem)
	if j.ours() {
		j.note("EndpointName", message)
		return
	}
	j.object("EndpointName", message)
}
