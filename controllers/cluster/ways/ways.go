// Package ways leads to the API servers of a cluster as its operations go: to every control plane by its addresses, and through SSH where
// nothing else leads there. It reads objects and connects; it must not know what is asked over a connection.
package ways

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/provision"
)

const (
	// directly is how long an API server may take to say that it is ready.
	directly = 5 * time.Second
	// throughSSH is the same with a login before it.
	throughSSH = 15 * time.Second
	// maxBastions bounds the chain of bastions of one host; the SSH package allows no more either.
	maxBastions = 4
)

// Hosts finds ways through the Hosts of a cluster.
type Hosts struct {
	// Live reads from the API server; no cache should hold Secrets.
	Live client.Reader
	// Addresses that hosts may have.
	Addresses addresses.Policy
	// Bundles say which helpers operations may have left on hosts. A way through SSH leads through one where sshd forbids forwarding.
	Bundles Bundles
}

// Bundles are the bundles that are known to be good.
type Bundles interface {
	// Helpers lists the host helpers in the bundles of OfflineManifests.
	Helpers(manifests ...string) []*bundle.File
}

// Ways implements health.Ways. Credentials are read when a way through SSH is taken.
func (h *Hosts) Ways(ctx context.Context, key client.ObjectKey) ([][]health.Way, error) {
	cluster := &v1alpha1.Cluster{}
	if err := h.Live.Get(ctx, key, cluster); err != nil {
		return nil, fmt.Errorf("read Cluster %s: %w", key, err)
	}
	var direct, ssh []health.Way
	for _, name := range cluster.Spec.ControlPlane.Hosts {
		host := &v1alpha1.Host{}
		if err := h.Live.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: name}, host); err != nil {
			return nil, fmt.Errorf("read Host %s: %w", name, err)
		}
		if !claims.Holds(cluster, host) {
			continue
		}
		for _, address := range at(host) {
			direct = append(direct, health.Way{
				Name: "control plane " + name + " at " + address, Timeout: directly,
				Dial: func(ctx context.Context) (net.Conn, error) {
					return h.Addresses.Dial(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(desired.APIServerPort)))
				},
			})
		}
		ssh = append(ssh, health.Way{
			Name: "control plane " + name + " through SSH", Timeout: throughSSH,
			Dial: func(ctx context.Context) (net.Conn, error) { return h.dialSSH(ctx, cluster, host) },
		})
	}
	return [][]health.Way{direct, ssh}, nil
}

// at lists where the API server of a host may be reached: at the node's own address, and at the one SSH goes to.
func at(host *v1alpha1.Host) []string {
	if inside := host.Spec.InternalAddress; inside != "" && inside != host.Spec.Address {
		return []string{inside, host.Spec.Address}
	}
	return []string{host.Spec.Address}
}

func (h *Hosts) dialSSH(ctx context.Context, cluster *v1alpha1.Cluster, host *v1alpha1.Host) (net.Conn, error) {
	access, err := h.access(ctx, host)
	if err != nil {
		return nil, err
	}
	return provision.DialAPIServer(ctx, access, host.Name, h.Addresses, h.helpers(cluster))
}

// helpers lists what operations may have left on the hosts of a cluster: the helpers of the bundles that it was installed from and of the
// one it names now.
func (h *Hosts) helpers(cluster *v1alpha1.Cluster) []*bundle.File {
	var names []string
	for _, b := range cluster.Status.Bundles {
		names = append(names, b.OfflineManifest)
	}
	return h.Bundles.Helpers(append(names, cluster.Spec.OfflineManifestRef.Name)...)
}

// access reads what is needed to log in to a host and to the bastions before it.
func (h *Hosts) access(ctx context.Context, host *v1alpha1.Host) ([]provision.HostAccess, error) {
	var list []provision.HostAccess
	for depth := 0; ; depth++ {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: host.Namespace, Name: host.Spec.CredentialsRef.Name}
		if err := h.Live.Get(ctx, key, secret); err != nil {
			return nil, fmt.Errorf("read the credentials of host %s: %w", host.Name, err)
		}
		credentials, err := capi.Credentials(secret)
		if err != nil {
			return nil, fmt.Errorf("read the credentials of host %s: %w", host.Name, err)
		}
		list = append(list, provision.HostAccess{Host: *host, Credentials: credentials})
		if host.Spec.BastionRef == nil || depth == maxBastions {
			return list, nil
		}
		bastion := &v1alpha1.Host{}
		if err := h.Live.Get(ctx, client.ObjectKey{Namespace: host.Namespace, Name: host.Spec.BastionRef.Name}, bastion); err != nil {
			return nil, fmt.Errorf("read the bastion of host %s: %w", host.Name, err)
		}
		host = bastion
	}
}
