package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/host/inbound"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// observeTimeout bounds the wait for a running cluster to show how it is: API server and etcd need about this long to come up after all
// machines were switched on.
const observeTimeout = 90 * time.Second

// stepObserve looks at the running cluster.
const stepObserve = "cluster/observe"

// observe fills in what is seen of a running cluster, before anything is planned. What does not show itself in time stays unknown, and
// the planner judges what may be done then.
func (x *execution) observe(ctx context.Context) error {
	if !x.live() {
		return nil
	}
	at := slices.Sorted(maps.Keys(x.facts))[:1]
	began := time.Now()
	step := engine.Step{
		ID: stepObserve, Title: "Look at the running cluster", Hosts: at, Timeout: 2 * observeTimeout, Retry: engine.RetryPolicy{Attempts: 1},
		Check: func(ctx context.Context, _ string) (engine.Verdict, error) {
			state, err := x.look(ctx)
			x.state = state
			// What is not known by then is no failure of this step: the planner's refusal says what it means for the change.
			if err != nil && time.Since(began) < observeTimeout {
				return unknown(err), nil
			}
			return engine.Verdict{State: engine.Done}, nil
		},
	}
	_, err := x.run(ctx, []engine.Step{step}, nil, engine.ModeApply)
	if ctx.Err() != nil {
		return err
	}
	return nil
}

// live tells that a cluster exists: some host has joined it.
func (x *execution) live() bool {
	for _, f := range x.facts {
		if kubeadm.Joined(f.Receipts) {
			return true
		}
	}
	return false
}

// look asks API servers and etcd once. The error is the first thing that did not answer; the state holds what did.
func (x *execution) look(ctx context.Context) (plan.State, error) {
	state := plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}}
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if _, err := x.kube.objects(); err != nil {
		return state, err
	}
	if err := x.kube.eachNode(ctx, func(n *corev1.Node) {
		state.Nodes[n.Name] = plan.Node{Kubelet: n.Status.NodeInfo.KubeletVersion, Ready: notReady(n) == "", Cordoned: n.Spec.Unschedulable, Blank: len(n.Status.Allocatable) == 0, Addresses: internalAddresses(n)}
	}); err != nil {
		note(err)
	} else {
		state.NodesKnown = true
	}
	members, err := x.kube.members(ctx)
	if err != nil {
		state.MembersProblem = err.Error()
		note(err)
	} else {
		state.MembersKnown = true
	}
	for _, m := range members {
		state.Members = append(state.Members, m.Member)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, h := range x.desired.ControlPlanes() {
		if f := x.facts[h.Name]; f == nil || !kubeadm.Joined(f.Receipts) {
			continue
		}
		wg.Go(func() {
			version, err := x.kube.versionOf(h.Name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				note(fmt.Errorf("API server of %s: %w", h.Name, err))
				return
			}
			state.APIServers[h.Name] = version
		})
	}
	wg.Wait()
	return state, first
}

// maxVersion bounds the version that an API server says it has, in bytes.
const maxVersion = 64

// internalAddresses are those at which other nodes reach a node.
func internalAddresses(n *corev1.Node) []string {
	var addresses []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			addresses = append(addresses, a.Address)
		}
	}
	return addresses
}

// versionOf asks the API server of one control plane for its version.
func (k *kube) versionOf(host string) (string, error) {
	config, err := k.restOf(host)
	if err != nil {
		return "", err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("set up the API client: %w", err)
	}
	version, err := client.ServerVersion()
	if err != nil {
		return "", err
	}
	return inbound.Head(version.GitVersion, maxVersion), nil
}
