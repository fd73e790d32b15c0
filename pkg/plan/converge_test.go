package plan_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

var update = flag.Bool("update", false, "rewrite golden files")

func describe(steps []plan.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s on %s", s.ID, strings.Join(s.Hosts, ","))
		for _, n := range s.Needs {
			fmt.Fprintf(&b, " | %s:%s", n.Scope, n.Step)
		}
		if s.Exclusive != "" {
			fmt.Fprintf(&b, " | exclusive %s", s.Exclusive)
		}
		if s.Guard != "" {
			fmt.Fprintf(&b, " | guard %s", s.Guard)
		}
		if s.Lane != "" {
			fmt.Fprintf(&b, " | lane %s", s.Lane)
		}
		if s.When != nil {
			fmt.Fprintf(&b, " | when %s", strings.Join(s.When.Steps, ","))
		}
		if s.Action != nil {
			fmt.Fprintf(&b, " | %T", s.Action)
		}
		b.WriteString("\n")
		for _, h := range s.Hosts {
			var ids []string
			for _, r := range s.Resources[h] {
				ids = append(ids, r.ID)
			}
			if len(ids) > 0 {
				fmt.Fprintf(&b, "    %s: %s\n", h, strings.Join(ids, " "))
			}
		}
	}
	return b.String()
}

func TestTheInstallGraphOfThreeControlPlanesAndAWorkerIsAsWrittenDown(t *testing.T) {
	in, err := plantest.Input(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := plan.Converge(in)
	if err != nil {
		t.Fatal(err)
	}
	plantest.Golden(t, *update, "install-3-1.txt", []byte(describe(graph.Steps)))
}

func TestWhoRunsKubeadmInit(t *testing.T) {
	receipt := func(names ...string) *hostapi.Facts { return &hostapi.Facts{Receipts: names} }
	for _, c := range []struct {
		name  string
		facts map[string]*hostapi.Facts
		want  string
	}{
		{"on fresh hosts the first of the spec does", nil, "cp1"},
		{"nobody does again where it is done, also when that host is not the first any more", map[string]*hostapi.Facts{"cp2": receipt(kubeadm.InitCommand)}, ""},
		{"the one in the midst of it is continued", map[string]*hostapi.Facts{"cp3": {Runs: []string{kubeadm.InitCommand}}}, "cp3"},
		{"nobody does when the cluster lives on others and the first one is gone", map[string]*hostapi.Facts{"cp2": receipt(kubeadm.JoinEtcdCommand)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := plantest.Input(3, 0)
			if err != nil {
				t.Fatal(err)
			}
			in.State.MembersKnown = true
			for host, f := range c.facts {
				in.Facts[host].Receipts, in.Facts[host].Runs = f.Receipts, f.Runs
			}
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, s := range graph.Steps {
				if s.ID == plan.StepInit {
					got = strings.Join(s.Hosts, ",")
				}
			}
			if got != c.want {
				t.Errorf("init runs on %q, want %q", got, c.want)
			}
		})
	}
}

// Whatever the size of the cluster: the graph is valid, nothing is changed on any host before all content is on all hosts, nobody
// joins before the cluster exists, etcd grows one by one, and every step is reached when all go well.
func TestEveryInstallGraphIsSafeAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, err := plantest.Input(rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "controlPlanes"), rapid.IntRange(0, 6).Draw(t, "workers"))
		if err != nil {
			t.Fatal(err)
		}
		graph, err := plan.Converge(in)
		if err != nil {
			t.Fatal(err)
		}
		var run engine.Graph
		var ended []string
		for _, s := range graph.Steps {
			run.Steps = append(run.Steps, engine.Step{ID: s.ID, Hosts: s.Hosts, Needs: s.Needs, Exclusive: s.Exclusive,
				Check: func(context.Context, string) (engine.Verdict, error) { return engine.Verdict{State: engine.Done}, nil }})
		}
		if _, err := engine.Run(context.Background(), run, engine.Options{Sink: sinkFunc(func(e engine.Event) {
			if e.State == engine.StateDone {
				ended = append(ended, e.Step+"@"+e.Host)
			}
		})}); err != nil {
			t.Fatal(err)
		}
		pairs := 0
		for _, s := range graph.Steps {
			pairs += len(s.Hosts)
		}
		if len(ended) != pairs {
			t.Fatalf("%d of %d pairs ended", len(ended), pairs)
		}
		lastContent := 0
		for i, e := range ended {
			if strings.HasPrefix(e, plan.StepContent+"@") {
				lastContent = i
			}
		}
		initAt := slices.IndexFunc(ended, func(e string) bool { return strings.HasPrefix(e, plan.StepInit+"@") })
		for i, e := range ended {
			if i < lastContent && !strings.HasPrefix(e, plan.StepContent+"@") {
				t.Fatalf("%s came before all content was placed", e)
			}
			for _, after := range []string{plan.StepPrepare, plan.StepEtcd, plan.StepControlPlane, plan.StepJoin, plan.StepNodes} {
				if strings.HasPrefix(e, after+"@") && i < initAt {
					t.Fatalf("%s came before the cluster was initialised", e)
				}
			}
		}
		for _, s := range graph.Steps {
			if s.ID == plan.StepEtcd && (s.Exclusive == "" || s.Guard != plan.GuardEtcdCanGrow) {
				t.Fatalf("etcd members may be added side by side or unguarded")
			}
		}
	})
}

// A rollout's policy counts workers; control planes go one by one whatever it says.
func TestHowManyHostsAreWorkedOnAtATimeAndMayFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy v1alpha1.RolloutPolicy
		want   engine.Lane
	}{
		{"left out, one worker at a time and the first failure pauses", v1alpha1.RolloutPolicy{}, engine.Lane{ID: plan.LaneWorkers, Width: 1}},
		{"several at a time do not bring a budget with them", v1alpha1.RolloutPolicy{MaxUnavailable: 3}, engine.Lane{ID: plan.LaneWorkers, Width: 3}},
		{"a budget does not bring more at a time with it", v1alpha1.RolloutPolicy{FailureBudget: 2}, engine.Lane{ID: plan.LaneWorkers, Width: 1, FailureBudget: 2}},
		{"both are taken over as they are", v1alpha1.RolloutPolicy{MaxUnavailable: 4, FailureBudget: 7}, engine.Lane{ID: plan.LaneWorkers, Width: 4, FailureBudget: 7}},
		{"more than there are workers is no mistake", v1alpha1.RolloutPolicy{MaxUnavailable: 1000, FailureBudget: 1000}, engine.Lane{ID: plan.LaneWorkers, Width: 1000, FailureBudget: 1000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := plantest.Input(3, 2)
			if err != nil {
				t.Fatal(err)
			}
			in.Cluster.Rollout = c.policy
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			want := []engine.Lane{
				{ID: plan.LaneStaticPods, Width: 1}, {ID: plan.LaneControlPlanes, Width: 1}, c.want, {ID: plan.LaneLeaving, Width: 1},
			}
			if !slices.Equal(graph.Lanes, want) {
				t.Errorf("the lanes are %+v, want %+v", graph.Lanes, want)
			}
		})
	}
}

type sinkFunc func(engine.Event)

func (f sinkFunc) Emit(e engine.Event) { f(e) }
