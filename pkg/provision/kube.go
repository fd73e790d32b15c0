package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// apiTimeout bounds one question to one API server.
const apiTimeout = 5 * time.Second

// kube reaches the cluster's API through the SSH connections to its control planes: port 22 is enough.
type kube struct {
	sessions *sessions
	cluster  *desired.Cluster
	leaving  []leavingHost
	// now is the time by which certificates are signed.
	now func() time.Time

	mu        sync.Mutex
	admin     *identity
	etcd      *identity
	client    client.Client
	clientset kubernetes.Interface
	config    *rest.Config

	// listing is held while nodes are listed, so that who waits for one side by side with others shares the list.
	listing sync.Mutex
	nodes   nodeList

	requests servingRequests

	refusedMu sync.Mutex
	// refusedNodes are those the cluster refused when it was asked first; nil before.
	refusedNodes map[string]bool
}

// dial connects to the first control plane that takes the connection.
func (k *kube) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var errs []error
	for _, h := range k.cluster.ControlPlanes() {
		conn, err := k.sessions.dial(ctx, h.Name, hostapi.ServiceAPIServer, "127.0.0.1")
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no control plane's API server can be reached: %w", errors.Join(errs...))
}

// restOf returns a configuration that reaches the API server of one control plane and no other, for one question.
func (k *kube) restOf(host string) (*rest.Config, error) {
	shared, err := k.rest()
	if err != nil {
		return nil, err
	}
	transport, err := newRenewing(k.admin, k.cluster.Authorities.Cluster.Cert, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return k.sessions.dial(ctx, host, hostapi.ServiceAPIServer, "127.0.0.1")
	})
	if err != nil {
		return nil, err
	}
	transport.once = true
	config := rest.CopyConfig(shared)
	config.Timeout, config.Transport = apiTimeout, transport
	return config, nil
}

// rest returns the configuration of an administrator whose certificate is renewed for as long as the operation lasts.
func (k *kube) rest() (*rest.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.config != nil {
		return k.config, nil
	}
	k.admin = newIdentity(k.cluster.Authorities.Cluster, k.now, "system:masters")
	transport, err := newRenewing(k.admin, k.cluster.Authorities.Cluster.Cert, k.dial)
	if err != nil {
		return nil, err
	}
	k.config = &rest.Config{
		Host:      "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(desired.APIServerPort)),
		Transport: transport,
		QPS:       100,
		Burst:     200,
		Timeout:   30 * time.Second,
		UserAgent: "kubewright",
	}
	bound(k.config)
	return k.config, nil
}

// etcdUser is the operation as a client of etcd.
func (k *kube) etcdUser() *identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.etcd == nil {
		k.etcd = newIdentity(k.cluster.Authorities.Etcd, k.now)
	}
	return k.etcd
}

// objects returns a client for any kind. It only exists once the API answers, because it asks for the kinds there are.
func (k *kube) objects() (client.Client, error) {
	config, err := k.rest()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		return k.client, nil
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register Kubernetes' kinds: %w", err)
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("set up the API client: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("the cluster's API does not answer yet: %w", err)
	}
	k.client, err = client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper, Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("set up the API client: %w", err)
	}
	return k.client, nil
}

// typed returns a client for Kubernetes' own kinds, which is what the drain library takes. There is one for the whole operation, because
// each one has connections of its own.
func (k *kube) typed() (kubernetes.Interface, error) {
	config, err := k.rest()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clientset != nil {
		return k.clientset, nil
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("set up the API client: %w", err)
	}
	k.clientset = clientset
	return k.clientset, nil
}
