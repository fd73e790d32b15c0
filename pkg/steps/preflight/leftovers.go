package preflight

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// leftovers refuses hosts with traces of a Kubernetes or a container runtime that is not ours: mixing the two breaks in ways that
// are hard to see, and removing somebody's data is not ours to decide. A host that is ours was free of them when it was claimed; what
// runs there since is our doing.
func leftovers(j *judge) {
	if j.ours() || j.foreign() {
		return
	}
	var found []string
	for _, p := range j.facts.Paths {
		if !p.Owned {
			found = append(found, p.Path)
		}
	}
	for _, p := range j.facts.Programs {
		if !p.Owned && p.Running {
			found = append(found, p.Name+" (running)")
		}
	}
	if len(found) > 0 {
		sort.Strings(found)
		j.object("Leftovers", fmt.Sprintf("found what another installation left: %s; remove it, or reset the host with the tool that installed it",
			strings.Join(found, ", ")))
	}
}

// ports refuses ports in use by somebody else. On a host that is ours already the listeners are ours.
func ports(j *judge) {
	if j.ours() || j.foreign() {
		return
	}
	wanted := []int{10250, 10256}
	if j.host.IsControlPlane() {
		wanted = append(wanted, desired.APIServerPort, desired.EtcdPort, 2380, desired.EtcdProxyPort, 10257, 10259)
	}
	if j.cluster.Endpoint.Type == v1alpha1.LocalProxyEndpoint {
		wanted = append(wanted, j.cluster.Endpoint.Port)
	}
	for _, port := range wanted {
		// A program that listens over IPv4 and over IPv6 is there twice.
		at := slices.IndexFunc(j.facts.Listening, func(l hostapi.Listening) bool { return l.Port == port })
		if at < 0 {
			continue
		}
		who, l := "another process", j.facts.Listening[at]
		if l.Process != "" {
			who = fmt.Sprintf("%s (pid %d)", l.Process, l.PID)
		}
		j.object(fmt.Sprintf("Port-%d", port), fmt.Sprintf("TCP port %d is in use by %s; stop it or move it to another port", port, who))
	}
}
