package plan_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
	"pgregory.net/rapid"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// machine is one host of the simulated world.
type machine struct {
	controlPlane, joined, member, sick, cordoned bool
	kubelet, apiServer                           string
}

// world is a cluster that steps act upon. Every act checks what always has to hold.
type world struct {
	mu       sync.Mutex
	machines map[string]*machine
	wanted   map[string]string
	target   string
	down     []string // control planes whose static pods are being exchanged
	broken   []string // rules that were broken
	// lost says that etcd had no majority before anything was done.
	lost bool
}

func (w *world) members() []plan.Member {
	var list []plan.Member
	for name, m := range w.machines {
		if m.member {
			one := plan.Member{Name: name}
			if m.sick {
				one.Problem = "does not answer"
			}
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b plan.Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// judge notes every rule that does not hold now.
func (w *world) judge(after string) {
	voters, well := 0, 0
	lowest := ""
	for name, m := range w.machines {
		if m.member {
			voters++
			if !m.sick && !slices.Contains(w.down, name) {
				well++
			}
		}
		// Proxies lead to the API servers of the spec only, so those that leave are not met any more.
		if _, stays := w.wanted[name]; stays && m.joined && m.controlPlane && !m.sick && (lowest == "" || older(m.apiServer, lowest)) {
			lowest = m.apiServer
		}
	}
	if voters > 1 && well < voters/2+1 && !w.lost {
		w.broken = append(w.broken, fmt.Sprintf("after %s etcd has %d of %d members", after, well, voters))
	}
	if len(w.down) > 1 {
		w.broken = append(w.broken, fmt.Sprintf("after %s %v are down together", after, w.down))
	}
	for name, m := range w.machines {
		if m.joined && lowest != "" && older(lowest, m.kubelet) {
			w.broken = append(w.broken, fmt.Sprintf("after %s kubelet of %s is %s, newer than API server %s", after, name, m.kubelet, lowest))
		}
	}
}

func older(a, b string) bool {
	return version.MustParseSemantic(a).LessThan(version.MustParseSemantic(b))
}

// done says whether a step has nothing to do on a host.
func (w *world) done(step, host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machines[host]
	switch step {
	case plan.StepCPUpdate:
		return m.apiServer == w.target
	case plan.StepCPNode, plan.StepWorkerUpdate:
		return m.kubelet == w.wanted[host]
	case plan.StepCPDrain, plan.StepWorkerDrain:
		return m.cordoned || m.kubelet == w.wanted[host]
	case plan.StepCPReturn, plan.StepWorkerReturn:
		return !m.cordoned && m.kubelet == w.wanted[host]
	case plan.StepEtcd:
		return m.member
	case plan.StepControlPlane, plan.StepJoin:
		return m.joined
	case plan.StepForget, plan.StepLeaveMember:
		return m == nil || !m.member
	case plan.StepLeaveNode:
		return m == nil || !m.joined
	}
	return true
}

// apply does a step on a host.
func (w *world) apply(step, host string) error {
	w.mu.Lock()
	m := w.machines[host]
	switch step {
	case plan.StepCPUpdate:
		w.down = append(w.down, host)
		w.judge(step + " begins on " + host)
		w.mu.Unlock()
		w.mu.Lock() // others may act meanwhile
		w.down = slices.DeleteFunc(w.down, func(n string) bool { return n == host })
		m.apiServer = w.target
	case plan.StepCPNode, plan.StepWorkerUpdate:
		if !m.cordoned {
			w.broken = append(w.broken, host+" was exchanged with its pods on it")
		}
		m.kubelet = w.wanted[host]
	case plan.StepCPDrain, plan.StepWorkerDrain:
		m.cordoned = true
	case plan.StepCPReturn, plan.StepWorkerReturn:
		m.cordoned = false
	case plan.StepEtcd:
		m.member = true
	case plan.StepControlPlane, plan.StepJoin:
		m.joined, m.kubelet = true, w.wanted[host]
		if m.controlPlane {
			m.apiServer = w.target
		}
	case plan.StepForget, plan.StepLeaveMember:
		m.member = false
	case plan.StepLeaveNode:
		m.joined = false
	}
	w.judge(step + " on " + host)
	w.mu.Unlock()
	return nil
}

// guard asks what the real one asks, of the world as it is now.
func (w *world) guard(g plan.Guard, host string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch g {
	case plan.GuardEtcdCanGrow:
		return plan.CanGrow(w.members(), host, true)
	case plan.GuardEtcdCanShrink:
		return plan.CanShrink(w.members(), host)
	case plan.GuardEtcdCanRestart:
		return plan.CanRestart(w.members(), host)
	}
	return nil
}

// run carries a graph out in the world.
func (w *world) run(graph *plan.Graph) error {
	bound := engine.Graph{Lanes: graph.Lanes}
	for _, s := range graph.Steps {
		bound.Steps = append(bound.Steps, engine.Step{
			ID: s.ID, Hosts: s.Hosts, Needs: s.Needs, Exclusive: s.Exclusive, Lane: s.Lane, Mutates: true,
			Guard: func(_ context.Context, host string) error { return w.guard(s.Guard, host) },
			Check: func(_ context.Context, host string) (engine.Verdict, error) {
				if w.done(s.ID, host) {
					return engine.Verdict{State: engine.Done}, nil
				}
				return engine.Verdict{State: engine.Needed, Why: []string{"it differs"}}, nil
			},
			Apply: func(_ context.Context, host string, _ func(string)) error { return w.apply(s.ID, host) },
		})
	}
	_, err := engine.Run(context.Background(), bound, engine.Options{})
	return err
}

// input is what the planner would be given for the world.
func (w *world) input(t *rapid.T, controlPlanes, workers []string, leaving []plan.Leaving, membersKnown bool) plan.Input {
	spec, hosts := plantest.Spec(1, 0)
	spec.Spec.Version, spec.Spec.ControlPlane.Hosts, spec.Spec.Workers = w.target, controlPlanes, []v1alpha1.WorkerPool{{Name: "default", Hosts: workers}}
	spec.Spec.Rollout.MaxUnavailable = int32(rapid.IntRange(1, 3).Draw(t, "maxUnavailable"))
	for i, name := range slices.Concat(controlPlanes, workers) {
		hosts[name] = v1alpha1.Host{Spec: v1alpha1.HostSpec{Address: fmt.Sprintf("192.0.2.%d", i+1)}}
	}
	release := plantest.Release()
	release.KubernetesVersion = w.target
	cluster, err := desired.New(spec, hosts, plantest.Releases{release}, plantest.Authorities())
	if err != nil {
		t.Fatal(err)
	}
	in := plan.Input{Cluster: cluster, Facts: map[string]*hostapi.Facts{}, Material: map[string]plan.Material{}, Leaving: leaving,
		Backup: hostapi.Backup{Name: "b", Recipient: "age1"},
		State:  plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}, MembersKnown: membersKnown}}
	in.Flannel, in.MetricsServer = plantest.Objects()
	for _, h := range cluster.Hosts {
		facts := plantest.Facts(h)
		m := w.machines[h.Name]
		switch {
		case m.joined && m.controlPlane:
			facts.Receipts = []string{kubeadm.JoinEtcdCommand, kubeadm.JoinFinishCommand}
		case m.joined:
			facts.Receipts = []string{kubeadm.JoinCommand}
		}
		in.Facts[h.Name] = facts
	}
	for name, m := range w.machines {
		if !m.joined {
			continue
		}
		in.State.Nodes[name] = plan.Node{Kubelet: m.kubelet, Ready: !m.sick}
		if m.controlPlane && !m.sick {
			in.State.APIServers[name] = m.apiServer
		}
	}
	if membersKnown {
		in.State.Members = w.members()
	}
	return in
}

// Random clusters, healths and edits: whatever is not refused ends as wanted, and on the way quorum holds, no two control planes are
// down together, no kubelet is newer than an API server, and no pods are disturbed on a node that was not drained.
func TestEveryChangeThatIsNotRefusedEndsAsWantedAndBreaksNoRule(t *testing.T) {
	refused, carried := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		versions := []string{"v1.34.4", "v1.35.4", "v1.36.3", "v1.36.4"}
		has := rapid.IntRange(0, 2).Draw(t, "has")
		w := &world{machines: map[string]*machine{}, wanted: map[string]string{}, target: versions[rapid.SampledFrom([]int{has, has, min(has+1, 3), min(has+2, 3), max(0, has-1)}).Draw(t, "target")]}
		n := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "controlPlanes")
		var present []string
		for i := range n {
			name := fmt.Sprintf("cp%d", i+1)
			present = append(present, name)
			w.machines[name] = &machine{controlPlane: true, joined: true, member: true, kubelet: versions[has], apiServer: versions[has], sick: rapid.IntRange(0, 9).Draw(t, "sick") == 0}
		}
		var workers []string
		for i := range rapid.IntRange(0, 4).Draw(t, "workers") {
			name := fmt.Sprintf("w%d", i+1)
			w.machines[name] = &machine{joined: rapid.Bool().Draw(t, "joined"), kubelet: versions[has]}
			workers = append(workers, name)
		}
		kept := slices.DeleteFunc(slices.Clone(present), func(string) bool { return rapid.IntRange(0, 4).Draw(t, "leaves") == 0 })
		controlPlanes := kept
		for i := 0; len(controlPlanes) != 1 && len(controlPlanes) != 3 && len(controlPlanes) != 5; i++ {
			name := fmt.Sprintf("new%d", i+1)
			controlPlanes = append(controlPlanes, name)
			w.machines[name] = &machine{controlPlane: true}
		}
		var leaving []plan.Leaving
		for _, name := range present {
			if !slices.Contains(kept, name) {
				leaving = append(leaving, plan.Leaving{Name: name, ControlPlane: true, Orphan: w.machines[name].sick})
			}
		}
		for _, name := range slices.Concat(controlPlanes, workers) {
			w.wanted[name] = w.target
		}
		w.judge("nothing")
		w.lost, w.broken = len(w.broken) > 0, nil
		known := rapid.IntRange(0, 9).Draw(t, "known") > 0
		graph, err := plan.Converge(w.input(t, controlPlanes, workers, leaving, known))
		if _, ok := errors.AsType[*plan.RefusedError](err); ok {
			refused++
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		// Nobody left of the old control plane: that is another cluster, which the executor refuses before it plans.
		if len(kept) == 0 {
			return
		}
		carried++
		if err := w.run(graph); err != nil {
			t.Fatalf("what was not refused did not get through: %v", err)
		}
		if len(w.broken) > 0 {
			t.Fatalf("rules were broken: %s", strings.Join(w.broken, "; "))
		}
		for name, m := range w.machines {
			stays := slices.Contains(controlPlanes, name) || slices.Contains(workers, name)
			if m.joined != stays || m.member != slices.Contains(controlPlanes, name) || m.cordoned {
				t.Errorf("%s ended joined %v, member %v, cordoned %v", name, m.joined, m.member, m.cordoned)
			}
			if stays && m.kubelet != w.target || stays && m.controlPlane && m.apiServer != w.target {
				t.Errorf("%s ended at kubelet %s, API server %s; %s was wanted", name, m.kubelet, m.apiServer, w.target)
			}
		}
	})
	if refused == 0 || carried == 0 {
		t.Errorf("%d changes were refused and %d carried out: the test looks at one side only", refused, carried)
	}
}
