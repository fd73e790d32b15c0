package input

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// defaultSSHPort is the default of a Host's spec.port in the CRD.
const defaultSSHPort = 22

// whole checks what can only be seen over several documents.
func (p *parser) whole() error {
	o := p.objects
	if o.Cluster == nil {
		return &Error{File: o.File, Message: fmt.Sprintf("it holds no Cluster of %s", v1alpha1.GroupVersion)}
	}
	if err := o.missing(); err != nil {
		return err
	}
	roles := map[string]string{}
	for _, named := range HostsOf(o.Cluster) {
		if first, twice := roles[named.Name]; twice {
			return &Error{File: o.Where(o.Cluster), Message: fmt.Sprintf("%s: host %s is named by %s already; a host has one role", named.Field, named.Name, first)}
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
			return &Error{File: o.Where(host), Message: fmt.Sprintf("spec.address: %s and port %d are those of Host %s as well; two Hosts cannot be one machine",
				host.Spec.Address, port, other)}
		}
		addresses[address] = host.Name
	}
	if m := o.Manifest; m != nil && m.Name != o.Cluster.Spec.OfflineManifestRef.Name {
		return &Error{File: o.Where(m), Message: fmt.Sprintf("metadata.name: the Cluster's spec.offlineManifestRef names %q, not %q",
			o.Cluster.Spec.OfflineManifestRef.Name, m.Name)}
	}
	return nil
}

// missing names a field without which nothing else of the Cluster can be looked at. The API server requires them too, but it is not
// asked before bundle and version are known.
func (o *Objects) missing() error {
	for _, required := range []struct{ field, value, next string }{
		{"spec.version", o.Cluster.Spec.Version, "write a Kubernetes version of the bundle, as `kubewright bundle inspect` lists them"},
		{"spec.offlineManifestRef.name", o.Cluster.Spec.OfflineManifestRef.Name, "write a name for the bundle that --bundle gives"},
		{"spec.controlPlane.hosts", strings.Join(o.Cluster.Spec.ControlPlane.Hosts, ""), "name 1, 3 or 5 Hosts"},
	} {
		if required.value == "" {
			return &Error{File: o.Where(o.Cluster), Message: required.field + " is missing: " + required.next}
		}
	}
	return nil
}

// Reference is a name in the file that points to another object of a namespace.
type Reference struct {
	// From says where it stands: document and field.
	From string
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
	add := func(known map[string]bool, from, kind, namespace, name string) {
		if !known[namespace+"/"+name] {
			out = append(out, Reference{From: from, Kind: kind, Namespace: namespace, Name: name})
		}
	}
	for _, named := range HostsOf(o.Cluster) {
		add(hosts, o.Where(o.Cluster)+": "+named.Field, "Host", o.Cluster.Namespace, named.Name)
	}
	for _, h := range o.Hosts {
		add(secrets, o.Where(h)+": spec.credentialsRef.name", "Secret", h.Namespace, h.Spec.CredentialsRef.Name)
		if h.Spec.BastionRef != nil {
			add(hosts, o.Where(h)+": spec.bastionRef.name", "Host", h.Namespace, h.Spec.BastionRef.Name)
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
