package provision

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

const (
	// kubeletUnit is the resource that has kubelet run (steps/kubelet, Running).
	kubeletUnit = "unit/kubelet"
	// kubeletPatience is how long kubelet may take to be back before its host is asked what became of it. A healthy one is back before, so
	// that its host is not asked at all.
	kubeletPatience = 5 * time.Second
	// kubeletEndings is how often kubelet may end by itself while its node is awaited.
	kubeletEndings = 3
)

// kubelets is what hosts have said of their kubelets. The zero value knows nothing.
type kubelets struct {
	mu     sync.Mutex
	byHost map[string]kubeletRun
}

type kubeletRun struct {
	unit hostapi.Resource
	run  *hostapi.UnitRun
	// at is when the host said so, by the clock of this machine.
	at time.Time
}

// expect remembers the resource to ask a host for its kubelet with.
func (k *kubelets) expect(host string, r hostapi.Resource) {
	if r.ID != kubeletUnit || r.Unit == nil || !r.Unit.Active {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byHost == nil {
		k.byHost = map[string]kubeletRun{}
	}
	one := k.byHost[host]
	one.unit = r
	k.byHost[host] = one
}

// see takes in what a host says of its kubelet, after it was looked at or begun anew.
func (k *kubelets) see(host string, verdicts []hostapi.Verdict) {
	for _, v := range verdicts {
		if v.Unit == nil || resourceID(v) != kubeletUnit {
			continue
		}
		k.mu.Lock()
		if one, expected := k.byHost[host]; expected {
			one.run, one.at = v.Unit, time.Now()
			k.byHost[host] = one
		}
		k.mu.Unlock()
	}
}

func (k *kubelets) of(host string) kubeletRun {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byHost[host]
}

// since is when the kubelet was begun, by the clock of its host; zero when nobody knows.
func (r kubeletRun) since() time.Time {
	if r.run == nil || r.run.Since == 0 {
		return time.Time{}
	}
	return time.UnixMicro(r.run.Since)
}

// kubeletServes asks the kubelet of a node itself whether it is well. Its node stays Ready for 40 seconds after it has died.
func (k *kube) kubeletServes(ctx context.Context, node *corev1.Node, since time.Time) error {
	text, err := k.askKubelet(ctx, node.Name, "healthz")
	if err != nil {
		return fmt.Errorf("its kubelet does not answer: %w", err)
	}
	if answer := strings.TrimSpace(string(text)); answer != "ok" {
		return fmt.Errorf("its kubelet says of itself: %.200s", answer)
	}
	return reported(node, since)
}

// askKubelet asks the kubelet of a node, through an API server.
func (k *kube) askKubelet(ctx context.Context, node, path string) ([]byte, error) {
	clientset, err := k.typed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return clientset.Discovery().RESTClient().Get().AbsPath("/api/v1/nodes", node, "proxy", path).DoRaw(ctx)
}

// reported says whether what a node tells of itself comes from the kubelet that runs since then. One that ends again soon after it has begun
// answers and renews the node's lease all the same; but it is only after everything it needs has started that kubelet says for the first
// time whether its node is Ready (k8s.io/kubernetes, Kubelet.Run and updateRuntimeUp). The node has that in whole seconds.
func reported(node *corev1.Node, since time.Time) error {
	if since.IsZero() {
		return nil
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && !c.LastHeartbeatTime.Time.Before(since.Truncate(time.Second)) {
			return nil
		}
	}
	return fmt.Errorf("its kubelet, begun at %s, has not reported yet", since.UTC().Format(time.RFC3339))
}

// watchingKubelet has a check that waits for a node find out why that does not come: from the host, when its kubelet takes longer than a
// healthy one.
func (b *hostSteps) watchingKubelet(check func(context.Context, string, time.Time) (engine.Verdict, error)) func(context.Context, string) (engine.Verdict, error) {
	return func(ctx context.Context, host string) (engine.Verdict, error) {
		begun := b.kubelets.of(host)
		verdict, err := check(ctx, host, begun.since())
		if err != nil || verdict.State == engine.Done || begun.run == nil || time.Since(begun.at) < kubeletPatience {
			return verdict, err
		}
		return verdict, b.kubeletEnds(ctx, host, begun)
	}
}

// kubeletEnds asks a host whether its kubelet has ended by itself again and again since it was begun. What a host that does not answer would
// say is not known, and no failure: it is its node that is waited for.
func (b *hostSteps) kubeletEnds(ctx context.Context, host string, begun kubeletRun) error {
	helper, err := b.sessions.helper(ctx, host)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	verdicts, err := helper.Check(ctx, hostapi.CheckRequest{Step: "kubelet", Resources: []hostapi.Resource{begun.unit}})
	if err != nil || len(verdicts) != 1 || verdicts[0].Unit == nil {
		return nil //nolint:nilerr // as above
	}
	return ending(host, begun.run, verdicts[0].Unit)
}

// ending is the error about a kubelet that was begun anew too often between two looks. It may be that what it waits for comes; the next tries
// give it the time.
func ending(host string, before, now *hostapi.UnitRun) error {
	if now.Restarts-before.Restarts < kubeletEndings {
		return nil
	}
	return engine.Retryable(engine.WithDetail(fmt.Errorf(
		"kubelet of host %s ends by itself again and again: %s; take back or correct what was changed of its configuration (spec.overrides.kubelet and overrides.kubelet of its pool)",
		host, lastWords(now.Output)), engine.Detail{Reason: "KubeletEnds", Output: strings.Join(now.Output, "\n")}))
}

// lastWords is the line in which a program says why it ends: the last one about an error, or else the last. kubelet gives its errors as err=,
// and systemd adds its own lines to the journal of a unit.
func lastWords(output []string) string {
	last := "its journal is empty"
	for i, line := range output {
		if strings.Contains(line, "err=") || i == len(output)-1 && !strings.Contains(last, "err=") {
			last = line
		}
	}
	const most = 400
	if len(last) > most {
		// The cause is at the end of a wrapped error.
		last = "..." + strings.ToValidUTF8(last[len(last)-most:], "")
	}
	return last
}
