package plan_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
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
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// machine is one host of the simulated world.
type machine struct {
	controlPlane, joined, cordoned bool
	// member says that etcd counts on it, data that it holds what it answered for, learner that it was announced and has not started.
	member, data, learner bool
	// sick machines do not answer.
	sick bool
	// stale static pods are configured otherwise than the spec asks for.
	stale              bool
	kubelet, apiServer string
}

// world is a cluster that steps act upon. Every act checks what always has to hold.
type world struct {
	mu       sync.Mutex
	machines map[string]*machine
	// wanted is the version of kubelet by host of the spec.
	wanted         map[string]string
	target         string
	maxUnavailable int
	down           []string // control planes whose etcd is restarted
	changing       []string // changes of etcd's membership in hand
	broken         []string // rules that were broken
	// lost says that etcd had no majority, and cordoned how many workers took no pods, before anything was done.
	lost     bool
	cordoned int
	// refusedRestart says that a guard kept a control plane from being restarted.
	refusedRestart bool
	// left is how many acts are done before the run is cut short; negative means all.
	left int
}

var errCutShort = errors.New("the run was cut short")

func (w *world) members() []plan.Member {
	var list []plan.Member
	for name, m := range w.machines {
		if !m.member {
			continue
		}
		one := plan.Member{Name: name, Learner: m.learner, Unstarted: m.learner}
		if m.sick || !m.data {
			one.Problem = "does not answer"
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b plan.Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// stays says that a host is one of the spec.
func (w *world) stays(name string) bool {
	_, ok := w.wanted[name]
	return ok
}

func (w *world) breaks(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// judge notes every rule that does not hold now.
func (w *world) judge(after string) {
	w.judgeMembers(after)
	w.judgeVersions(after)
	if n := w.unavailable(); n > max(w.maxUnavailable, w.cordoned) {
		w.breaks("after %s %d workers take no pods, %d may", after, n, w.maxUnavailable)
	}
}

func (w *world) judgeMembers(after string) {
	voters, well := 0, 0
	for name, m := range w.machines {
		if !m.member || m.learner {
			continue
		}
		voters++
		if !m.sick && m.data && !slices.Contains(w.down, name) {
			well++
		}
	}
	if voters > 1 && well < voters/2+1 && !w.lost {
		w.breaks("after %s etcd has %d of %d members", after, well, voters)
	}
	if len(w.down)+len(w.changing) > 1 {
		w.breaks("after %s %v are down while %v come or go", after, w.down, w.changing)
	}
}

// judgeVersions compares kubelets with the API servers they may meet. Proxies lead to those of the spec only, so that those that leave
// are not met any more.
func (w *world) judgeVersions(after string) {
	lowest, highest := "", ""
	for name, m := range w.machines {
		if !w.stays(name) || !m.joined || !m.controlPlane || m.sick {
			continue
		}
		if lowest == "" || older(m.apiServer, lowest) {
			lowest = m.apiServer
		}
		if highest == "" || older(highest, m.apiServer) {
			highest = m.apiServer
		}
	}
	for name, m := range w.machines {
		if !w.stays(name) || !m.joined || lowest == "" {
			continue
		}
		if older(lowest, m.kubelet) {
			w.breaks("after %s kubelet of %s is %s, newer than API server %s", after, name, m.kubelet, lowest)
		}
		if minor(m.kubelet)+3 < minor(highest) {
			w.breaks("after %s kubelet of %s is %s, too old for API server %s", after, name, m.kubelet, highest)
		}
	}
}

// unavailable counts the workers of the spec that take no pods.
func (w *world) unavailable() int {
	n := 0
	for name, m := range w.machines {
		if w.stays(name) && !m.controlPlane && m.joined && m.cordoned {
			n++
		}
	}
	return n
}

func older(a, b string) bool {
	return version.MustParseSemantic(a).LessThan(version.MustParseSemantic(b))
}

func minor(v string) uint { return version.MustParseSemantic(v).Minor() }

// done says whether a step has nothing to do on a host.
func (w *world) done(step, host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machines[host]
	switch step {
	case plan.StepCPUpdate:
		return m.apiServer == w.target && !m.stale
	case plan.StepCPNode, plan.StepWorkerUpdate:
		return m.kubelet == w.wanted[host]
	case plan.StepCPDrain, plan.StepWorkerDrain:
		return m.cordoned || m.kubelet == w.wanted[host]
	case plan.StepCPReturn, plan.StepWorkerReturn:
		return !m.cordoned && m.kubelet == w.wanted[host]
	case plan.StepEtcd:
		return m.member && m.data
	case plan.StepControlPlane, plan.StepJoin:
		return m.joined
	case plan.StepForget, plan.StepLeaveMember:
		return !m.member
	case plan.StepLeaveDrain, plan.StepLeaveReset:
		return m.cordoned
	case plan.StepLeaveNode:
		return !m.joined
	}
	return true
}

// apply does a step on a host, in two halves between which others act. A run that is cut short ends between them.
func (w *world) apply(step, host string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return errCutShort
	}
	w.left--
	in := map[string]*[]string{
		plan.StepCPUpdate: &w.down, plan.StepCPNode: &w.down,
		plan.StepEtcd: &w.changing, plan.StepForget: &w.changing, plan.StepLeaveMember: &w.changing,
	}[step]
	if in != nil {
		*in = append(*in, host)
	}
	w.begin(step, host)
	w.judge(step + " begins on " + host)
	cut := w.left == 0
	w.mu.Unlock()
	runtime.Gosched()
	w.mu.Lock()
	if in != nil {
		*in = slices.DeleteFunc(*in, func(n string) bool { return n == host })
	}
	if cut {
		return errCutShort
	}
	w.end(step, host)
	w.judge(step + " on " + host)
	return nil
}

// begin is what is there when a step was cut off half way.
func (w *world) begin(step, host string) {
	m := w.machines[host]
	switch step {
	case plan.StepCPDrain, plan.StepWorkerDrain:
		m.cordoned = true
	case plan.StepCPNode, plan.StepWorkerUpdate:
		if !m.cordoned {
			w.breaks("%s was exchanged with its pods on it", host)
		}
	case plan.StepEtcd:
		if m.member && !m.learner && !m.data {
			w.breaks("the etcd of %s started again with an empty log", host)
		}
		if !m.member {
			m.member, m.learner = true, true
		}
	case plan.StepLeaveReset:
		if !m.cordoned && !m.sick {
			w.breaks("%s was reset with its pods on it", host)
		}
	}
}

// end is what a step leads to.
func (w *world) end(step, host string) {
	m := w.machines[host]
	switch step {
	case plan.StepCPUpdate:
		m.apiServer, m.stale = w.target, false
	case plan.StepCPNode, plan.StepWorkerUpdate:
		m.kubelet = w.wanted[host]
	case plan.StepCPReturn, plan.StepWorkerReturn:
		m.cordoned = false
	case plan.StepEtcd:
		m.learner, m.data, m.sick = false, true, false
	case plan.StepControlPlane, plan.StepJoin:
		m.joined, m.cordoned, m.kubelet = true, false, w.wanted[host]
		if m.controlPlane {
			m.apiServer, m.stale = w.target, false
		}
	case plan.StepForget, plan.StepLeaveMember:
		m.member, m.learner = false, false
	case plan.StepLeaveDrain:
		m.cordoned = true
	case plan.StepLeaveNode:
		m.joined = false
	}
}

// guard asks what the real one asks, of the world as it is now.
func (w *world) guard(g plan.Guard, host string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch g {
	case plan.GuardEtcdCanGrow:
		return plan.CanGrow(w.members(), host, w.machines[host].data)
	case plan.GuardEtcdCanShrink:
		return plan.CanShrink(w.members(), host)
	case plan.GuardEtcdCanRestart, plan.GuardStaticPods:
		err := plan.CanRestart(w.members(), host)
		w.refusedRestart = w.refusedRestart || err != nil
		return err
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

// pool is some workers of the spec and the version of their kubelets; empty means the cluster's.
type pool struct {
	version string
	workers []string
}

// change is an edit of the spec.
type change struct {
	controlPlanes []string
	pools         []pool
	leaving       []plan.Leaving
	membersKnown  bool
}

// input is what the planner would be given for the world.
func (w *world) input(t *rapid.T, c change) plan.Input {
	spec, hosts := plantest.Spec(1, 0)
	spec.Spec.Version, spec.Spec.ControlPlane.Hosts, spec.Spec.Rollout.MaxUnavailable = w.target, c.controlPlanes, int32(w.maxUnavailable)
	for i, p := range c.pools {
		spec.Spec.Workers = append(spec.Spec.Workers, v1alpha1.WorkerPool{Name: fmt.Sprintf("pool%d", i+1), Version: p.version, Hosts: p.workers})
	}
	for i, name := range slices.Sorted(maps.Keys(w.wanted)) {
		hosts[name] = v1alpha1.Host{Spec: v1alpha1.HostSpec{Address: fmt.Sprintf("192.0.2.%d", i+1)}}
	}
	var releases plantest.Releases
	for _, v := range versions {
		release := plantest.Release()
		release.KubernetesVersion = v
		releases = append(releases, release)
	}
	cluster, err := desired.New(spec, hosts, releases, plantest.Authorities())
	if err != nil {
		t.Fatal(err)
	}
	in := plan.Input{Cluster: cluster, Facts: map[string]*hostapi.Facts{}, Leaving: c.leaving,
		Backup: hostapi.Backup{Name: "b", Recipient: "age1"},
		State:  plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}, MembersKnown: c.membersKnown}}
	in.Flannel, in.MetricsServer = plantest.Objects()
	for _, h := range cluster.Hosts {
		in.Facts[h.Name] = w.machines[h.Name].facts(h)
	}
	for name, m := range w.machines {
		if !m.joined {
			continue
		}
		in.State.Nodes[name] = plan.Node{Kubelet: m.kubelet, Ready: !m.sick, Cordoned: m.cordoned}
		if m.controlPlane && !m.sick && w.stays(name) {
			in.State.APIServers[name] = m.apiServer
		}
	}
	if c.membersKnown {
		in.State.Members = w.members()
	}
	return in
}

func (m *machine) facts(h desired.Host) *hostapi.Facts {
	facts := plantest.Facts(h)
	switch {
	case m.joined && m.controlPlane:
		facts.Receipts = []string{kubeadm.JoinEtcdCommand, kubeadm.JoinFinishCommand}
	case m.joined:
		facts.Receipts, facts.Paths = []string{kubeadm.JoinCommand}, []hostapi.PathFact{{Path: kubeadm.CACert}}
	case m.data:
		facts.Receipts = []string{kubeadm.JoinEtcdCommand}
	}
	if m.data {
		facts.Paths = []hostapi.PathFact{{Path: layout.EtcdMemberDir}}
	}
	return facts
}

// versions that the bundle holds, from the oldest.
var versions = []string{"v1.32.9", "v1.33.5", "v1.34.4", "v1.35.4", "v1.36.3", "v1.36.4"}

// draw makes a world and an edit.
func draw(t *rapid.T) (*world, change) {
	chance := func(of int, what string) bool { return rapid.IntRange(1, of).Draw(t, what) == 1 }
	has := rapid.IntRange(2, 4).Draw(t, "has")
	target := rapid.SampledFrom([]int{has, has, has + 1, has + 1, min(has+2, len(versions)-1), has - 1}).Draw(t, "target")
	w := &world{machines: map[string]*machine{}, wanted: map[string]string{}, target: versions[target], left: -1,
		maxUnavailable: rapid.IntRange(1, 3).Draw(t, "maxUnavailable")}
	c := change{membersKnown: !chance(10, "membersUnknown")}

	var present []string
	stale := chance(3, "reconfigured")
	for i := range rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "controlPlanes") {
		name := fmt.Sprintf("cp%d", i+1)
		m := &machine{controlPlane: true, joined: true, member: true, data: true, stale: stale, kubelet: versions[has], apiServer: versions[has]}
		present, w.machines[name] = append(present, name), m
		switch {
		case chance(10, "sick"):
			m.sick = true
		case i > 0 && chance(10, "reinstalled"):
			m.joined, m.data, m.sick, m.kubelet, m.apiServer = false, false, true, "", ""
		case chance(8, "cordoned"):
			m.cordoned = true
		}
	}
	// An earlier operation may have come as far as this: all API servers, and then some control planes.
	if target == has+1 && chance(3, "halfUpgraded") {
		for _, name := range present[:rapid.IntRange(1, len(present)).Draw(t, "upgradedAPIServers")] {
			if m := w.machines[name]; m.joined {
				m.apiServer = w.target
			}
		}
	}
	for _, name := range present {
		// Who is down is what people exchange.
		of := 5
		if w.machines[name].sick {
			of = 2
		}
		if chance(of, "leaves") {
			c.leaving = append(c.leaving, plan.Leaving{Name: name, ControlPlane: true, Orphan: w.machines[name].sick})
		} else {
			c.controlPlanes = append(c.controlPlanes, name)
		}
	}
	for i := 0; len(c.controlPlanes) != 1 && len(c.controlPlanes) != 3 && len(c.controlPlanes) != 5; i++ {
		name := fmt.Sprintf("new%d", i+1)
		c.controlPlanes = append(c.controlPlanes, name)
		w.machines[name] = &machine{controlPlane: true}
	}
	for _, name := range c.controlPlanes {
		w.wanted[name] = w.target
	}
	for p := range rapid.IntRange(1, 2).Draw(t, "pools") {
		one := pool{}
		runs := rapid.IntRange(max(0, has-3), has).Draw(t, "kubelet") // as old as the skew allows
		if p > 0 && runs < target {
			one.version = versions[rapid.IntRange(runs, min(has, target)).Draw(t, "poolVersion")]
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "workers") {
			name := fmt.Sprintf("w%d-%d", p+1, i+1)
			m := &machine{joined: chance(2, "joined"), kubelet: versions[runs]}
			m.cordoned = m.joined && chance(5, "cordonedWorker")
			w.machines[name] = m
			if m.joined && chance(5, "workerLeaves") {
				m.sick = chance(3, "sickWorker")
				c.leaving = append(c.leaving, plan.Leaving{Name: name, Orphan: m.sick})
				continue
			}
			one.workers = append(one.workers, name)
			w.wanted[name] = cmp.Or(one.version, w.target)
		}
		if len(one.workers) > 0 {
			c.pools = append(c.pools, one)
		}
	}
	w.cordoned = w.unavailable()
	w.judgeMembers("nothing")
	w.lost, w.broken = len(w.broken) > 0, nil
	return w, c
}

// held says that a member that is down and stays keeps control planes from being restarted: an operation that finds it has to restart
// one ends with that, and goes on once the member is repaired.
func (w *world) held() bool {
	for name, m := range w.machines {
		if w.refusedRestart && w.stays(name) && m.sick {
			return true
		}
	}
	return false
}

// Random clusters, healths, edits and moments at which an operation is cut short and begun again: whatever is not refused ends as wanted,
// and on the way quorum holds, no two control planes are down together or while etcd's membership changes, nobody counts on a member that
// has lost its data, no kubelet is newer or too much older than an API server, no more workers than allowed take no pods, and none are
// disturbed on a node that was not drained.
func TestEveryChangeThatIsNotRefusedEndsAsWantedAndBreaksNoRule(t *testing.T) {
	refused, carried, cutShort, reinstalled := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w, c := draw(t)
		graph, err := plan.Converge(w.input(t, c))
		if _, ok := errors.AsType[*plan.RefusedError](err); ok {
			refused++
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		// Nobody left of the old control plane: that is another cluster, which the executor refuses before it plans.
		if !slices.ContainsFunc(c.controlPlanes, func(name string) bool { return w.machines[name].joined }) {
			return
		}
		carried++
		for _, m := range w.machines {
			if m.member && !m.data && !m.learner {
				reinstalled++
				break
			}
		}
		if w.left = rapid.IntRange(-1, 25).Draw(t, "cutShortAfter"); w.left > 0 {
			if err := w.run(graph); err != nil && w.left == 0 {
				cutShort++
			}
			w.left, w.refusedRestart = -1, false
			if graph, err = plan.Converge(w.input(t, c)); err != nil {
				t.Fatalf("what was begun cannot go on: %v", err)
			}
		}
		w.left = -1
		err = w.run(graph)
		if len(w.broken) > 0 {
			t.Fatalf("%d times a rule was broken: %s", len(w.broken), strings.Join(w.broken[:min(3, len(w.broken))], "; "))
		}
		if err != nil && w.held() {
			return
		}
		if err != nil {
			t.Fatalf("what was not refused did not get through: %v", err)
		}
		for name, m := range w.machines {
			if stays := w.stays(name); m.joined != stays || m.member != (stays && m.controlPlane) || stays && m.cordoned {
				t.Errorf("%s ended joined %v, member %v, cordoned %v", name, m.joined, m.member, m.cordoned)
			}
			if w.stays(name) && (m.kubelet != w.wanted[name] || m.controlPlane && (m.apiServer != w.target || m.stale)) {
				t.Errorf("%s ended at kubelet %s, API server %s, stale %v; %s and %s were wanted", name, m.kubelet, m.apiServer, m.stale, w.wanted[name], w.target)
			}
		}
	})
	if refused == 0 || carried == 0 || cutShort == 0 || reinstalled == 0 {
		t.Errorf("%d changes were refused, %d carried out, of those %d cut short and %d with a reinstalled control plane: the test looks at one side only",
			refused, carried, cutShort, reinstalled)
	}
}
