package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
)

// resetTries is how often a machine is cleaned before what is left on it is reported instead.
const resetTries = 3

// changeTimeout bounds one change of etcd's membership or leadership; etcd itself gives up after 7 seconds (server/config, ReqTimeout).
const changeTimeout = 10 * time.Second

// removals is what became of the machines that leave.
type removals struct {
	mu    sync.Mutex
	tries map[string]int
	done  map[string]RemovedHost
}

// checkMember is done when no member of the host is left.
func (x *execution) checkMember(ctx context.Context, host string) (engine.Verdict, error) {
	members, err := x.kube.members(ctx)
	if err != nil {
		return unknown(err), nil
	}
	if m := memberOf(members, host); m != nil {
		return needed(fmt.Sprintf("etcd member %x of host %s is there", m.id, host)), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// memberOf finds a host's member; nil when it has none.
func memberOf(members []member, host string) *member {
	i := slices.IndexFunc(members, func(m member) bool { return m.Name == host })
	if i < 0 {
		return nil
	}
	return &members[i]
}

// applyMember hands on the leadership when the leaving member has it, so that nobody waits for an election, and removes the member.
func (x *execution) applyMember(ctx context.Context, host string, report func(string)) error {
	members, err := x.kube.members(ctx)
	if err != nil {
		return engine.Retryable(err)
	}
	leaving := memberOf(members, host)
	if leaving == nil {
		return nil
	}
	if leaving.leader {
		heir := slices.IndexFunc(members, func(m member) bool { return m.id != leaving.id && !m.Learner && m.Problem == "" })
		if heir >= 0 {
			handOn(ctx, members[heir].Name, report, func(ctx context.Context) error {
				return x.kube.withEtcd(ctx, leaving.client, func(c *clientv3.Client) error {
					_, err := c.MoveLeader(ctx, members[heir].id)
					return err
				})
			})
		}
	}
	stays := slices.IndexFunc(members, func(m member) bool { return m.id != leaving.id && !m.Learner && m.Problem == "" })
	if stays < 0 {
		return engine.Permanent(fmt.Errorf("no member of etcd is left that could remove the one of host %s", host))
	}
	bounded, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if err := x.kube.withEtcd(bounded, members[stays].client, func(c *clientv3.Client) error {
		_, err := c.MemberRemove(bounded, leaving.id)
		return err
	}); err != nil {
		return engine.Retryable(fmt.Errorf("remove the etcd member of host %s: %w", host, err))
	}
	return nil
}

// handOn hands the leadership of etcd to an heir. A leader that has fallen silent keeps nobody waiting: etcd elects by itself when its
// leader goes, it only takes longer.
func handOn(ctx context.Context, heir string, report func(string), move func(context.Context) error) {
	report("handing the leadership to " + heir)
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if err := move(ctx); err != nil {
		report("the leadership could not be handed on: " + err.Error())
	}
}

// withEtcd talks to the member at a client URL, through the first control plane that leads there.
func (k *kube) withEtcd(ctx context.Context, url string, do func(*clientv3.Client) error) error {
	config, err := k.etcdTLS()
	if err != nil {
		return err
	}
	address, _, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		return fmt.Errorf("client URL %q: %w", url, err)
	}
	var last error
	for _, via := range k.cluster.ControlPlanes() {
		if !k.sessions.connected(via.Name) {
			continue
		}
		c, err := k.etcdClient(config, via, address)
		if err != nil {
			return err
		}
		last = do(c)
		_ = c.Close()
		if last == nil || ctx.Err() != nil {
			return last
		}
	}
	return last
}

// checkLeaveReset asks the machine what of ours is left on it. One that was tried often enough counts as dealt with, and its problem is
// reported.
func (x *execution) checkLeaveReset(ctx context.Context, host string) (engine.Verdict, error) {
	x.removed.mu.Lock()
	_, done := x.removed.done[host]
	x.removed.mu.Unlock()
	if done {
		return engine.Verdict{State: engine.Done}, nil
	}
	verdict, err := x.checkReset(ctx, host)
	if err == nil && verdict.State == engine.Done {
		x.note(host, RemovedHost{Cleaned: true})
	}
	return verdict, err
}

func (x *execution) applyLeaveReset(ctx context.Context, host string, report func(string)) error {
	err := x.applyReset(ctx, host, report)
	if err == nil {
		x.note(host, RemovedHost{Cleaned: true})
		return nil
	}
	x.removed.mu.Lock()
	x.removed.tries[host]++
	tries := x.removed.tries[host]
	x.removed.mu.Unlock()
	if _, left := errors.AsType[*resetIncompleteError](err); !left || ctx.Err() != nil || tries < resetTries {
		return err
	}
	x.note(host, RemovedHost{Problem: err.Error()})
	return nil
}

func (x *execution) note(host string, r RemovedHost) {
	x.removed.mu.Lock()
	defer x.removed.mu.Unlock()
	x.removed.done[host] = r
}

// dirty says whether the machine of a host that leaves is not, or could not be, cleaned.
func (x *execution) dirty(host string) bool {
	x.removed.mu.Lock()
	defer x.removed.mu.Unlock()
	return !x.removed.done[host].Cleaned
}

// checkNodeGone is done when the API knows neither the node nor anything that is of it alone.
func (x *execution) checkNodeGone(ctx context.Context, host string) (engine.Verdict, error) {
	node, err := x.kube.freshNode(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if node != nil {
		return needed("node " + host + " is registered"), nil
	}
	if x.dirty(host) {
		is, err := x.kube.refused(ctx, host)
		if err != nil {
			return unknown(err), nil
		}
		if !is {
			return needed("the cluster would let the kubelet of " + host + " in again"), nil
		}
	}
	left, err := x.kube.traces(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if len(left) > 0 {
		return needed(fmt.Sprintf("%d objects are left of node %s", len(left), host)), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// deleteNode removes the node and what is of it alone. Kubernetes would collect that by itself, after about a minute in which Services
// and people still see pods that cannot be there any more.
func (x *execution) deleteNode(ctx context.Context, host string) error {
	objects, err := x.kube.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	if x.dirty(host) {
		// First, so that it does not come back in between.
		if err := x.kube.refuseNode(ctx, host); err != nil {
			return err
		}
		x.kube.forgetRefused()
	}
	node := &corev1.Node{}
	node.Name = host
	if err := objects.Delete(ctx, node); err != nil && !apierrors.IsNotFound(err) {
		return engine.Retryable(fmt.Errorf("remove node %s: %w", host, err))
	}
	x.kube.forgetNodes()
	left, err := x.kube.traces(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	for _, o := range left {
		// Nobody is left on the host who could end a pod with grace.
		if err := objects.Delete(ctx, o, client.GracePeriodSeconds(0)); err != nil && !apierrors.IsNotFound(err) {
			return engine.Retryable(fmt.Errorf("remove %s/%s, which was of node %s: %w", o.GetNamespace(), o.GetName(), host, err))
		}
	}
	return nil
}

// traces are the objects that only make sense while a node is there: its lease and its pods.
func (k *kube) traces(ctx context.Context, node string) ([]client.Object, error) {
	objects, err := k.objects()
	if err != nil {
		return nil, err
	}
	var left []client.Object
	lease := &coordinationv1.Lease{}
	switch err := objects.Get(ctx, client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: node}, lease); {
	case err == nil:
		left = append(left, lease)
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read the lease of node %s: %w", node, err)
	}
	var pods corev1.PodList
	if err := objects.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node}); err != nil {
		return nil, fmt.Errorf("list the pods of node %s: %w", node, err)
	}
	for i := range pods.Items {
		left = append(left, &pods.Items[i])
	}
	return left, nil
}

// freshNode reads one node now; nil when there is none.
func (k *kube) freshNode(ctx context.Context, name string) (*corev1.Node, error) {
	objects, err := k.objects()
	if err != nil {
		return nil, err
	}
	node := &corev1.Node{}
	if err := objects.Get(ctx, client.ObjectKey{Name: name}, node); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	return node, nil
}
