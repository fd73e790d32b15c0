package input

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// defaultSSHPort is the default of a Host's spec.port in the CRD.
const defaultSSHPort = 22

// whole checks what can only be seen over several documents.
func (p *parser) whole() {
	o := p.objects
	if o.Cluster == nil {
		if !p.brokenCluster {
			p.fail(&Error{Message: fmt.Sprintf("it holds no Cluster of %s", v1alpha1.GroupVersion), Next: "describe the cluster in the same file as its Hosts"})
		}
		return
	}
	p.missing()
	roles := map[string]string{}
	for _, named := range HostsOf(o.Cluster) {
		if first, twice := roles[named.Name]; twice {
			p.fail(o.Mistake(o.Cluster, named.Field, fmt.Sprintf("host %s is named by %s already", named.Name, first), "a host has one role, so remove one of them"))
			continue
		}
		roles[named.Name] = named.Field
	}
	addresses := map[string]string{}
	for _, host := range o.Hosts {
		port := host.Spec.Port
		if port == 0 {
			port = defaultSSHPort
		}
		address := host.Namespace + " " + net.JoinHostPort(strings.ToLower(host.Spec.Address), strconv.Itoa(int(port)))
		if other, taken := addresses[address]; taken && host.Spec.Address != "" {
			p.fail(o.Mistake(host, "spec.address", fmt.Sprintf("%s and port %d are those of Host %s as well", host.Spec.Address, port, other),
				"two Hosts cannot be one machine, so correct one"))
		}
		addresses[address] = host.Name
	}
	if m := o.Manifest; m != nil && m.Name != o.Cluster.Spec.OfflineManifestRef.Name && o.Cluster.Spec.OfflineManifestRef.Name != "" {
		p.fail(o.Mistake(m, "metadata.name", fmt.Sprintf("the Cluster's spec.offlineManifestRef names %q, not %q", o.Cluster.Spec.OfflineManifestRef.Name, m.Name),
			"write the same name in both"))
	}
}

// missing names fields without which nothing else of the Cluster can be looked at. The API server requires them too, but it is not
// asked before bundle and version are known.
func (p *parser) missing() {
	c := p.objects.Cluster
	for _, required := range []struct{ field, value, next string }{
		{"spec.version", c.Spec.Version, "write a Kubernetes version of the bundle, as `kubewright bundle inspect` lists them"},
		{"spec.offlineManifestRef.name", c.Spec.OfflineManifestRef.Name, "write a name for the bundle that --bundle gives"},
		{"spec.controlPlane.hosts", strings.Join(c.Spec.ControlPlane.Hosts, ""), "name 1, 3 or 5 Hosts"},
	} {
		if required.value == "" {
			p.fail(p.objects.Mistake(c, required.field, "is missing", required.next))
		}
	}
}

// Reference is a name in the file that points to another object of a namespace.
type Reference struct {
	// From is the object that names it, Field where it does.
	From  client.Object
	Field string
	// Kind, Namespace and Name it points to.
	Kind, Namespace, Name string
}

// Dangling lists the references that nothing in the file answers; they must be known to the API server already.
func (o *Objects) Dangling() []Reference {
	hosts, secrets := map[string]bool{}, map[string]bool{}
	for _, h := range o.Hosts {
		hosts[h.Namespace+"/"+h.Name] = true
	}
	for _, s := range o.Secrets {
		secrets[s.Namespace+"/"+s.Name] = true
	}
	var out []Reference
	add := func(known map[string]bool, from client.Object, field, kind, namespace, name string) {
		if !known[namespace+"/"+name] {
			out = append(out, Reference{From: from, Field: field, Kind: kind, Namespace: namespace, Name: name})
		}
	}
	for _, named := range HostsOf(o.Cluster) {
		add(hosts, o.Cluster, named.Field, "Host", o.Cluster.Namespace, named.Name)
	}
	for _, h := range o.Hosts {
		add(secrets, h, "spec.credentialsRef.name", "Secret", h.Namespace, h.Spec.CredentialsRef.Name)
		if h.Spec.BastionRef != nil {
			add(hosts, h, "spec.bastionRef.name", "Host", h.Namespace, h.Spec.BastionRef.Name)
		}
	}
	return out
}

// NamedHost is a host as a Cluster names it.
type NamedHost struct {
	// Name of the Host, Role it has, Field that names it.
	Name, Role, Field string
}

// HostsOf lists the hosts a Cluster names, control planes first.
func HostsOf(cluster *v1alpha1.Cluster) []NamedHost {
	var out []NamedHost
	for i, name := range cluster.Spec.ControlPlane.Hosts {
		out = append(out, NamedHost{name, "control-plane", fmt.Sprintf("spec.controlPlane.hosts[%d]", i)})
	}
	for i, pool := range cluster.Spec.Workers {
		for k, name := range pool.Hosts {
			out = append(out, NamedHost{name, "worker", fmt.Sprintf("spec.workers[%d].hosts[%d]", i, k)})
		}
	}
	return out
}
