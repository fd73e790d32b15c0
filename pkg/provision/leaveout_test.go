package provision

import (
	"errors"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func TestACheckGoesOnWithoutHostsThatCannotBeReached(t *testing.T) {
	for _, c := range []struct {
		name string
		kind v1alpha1.OperationType
		off  []string
		goes bool
	}{
		{"a worker that is off is left out", v1alpha1.CheckOperation, []string{"w1"}, true},
		{"the first control plane is left out, and another one used", v1alpha1.CheckOperation, []string{"cp1"}, true},
		{"without any control plane nothing can be told", v1alpha1.CheckOperation, []string{"cp1", "cp2", "cp3"}, false},
		{"an operation that changes something does not go on without one", v1alpha1.ConfigureOperation, []string{"w1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAddition(t, 4)
			a.request.Operation.Spec.Type = c.kind
			for _, name := range c.off {
				a.machines[name].Close()
			}
			outcome := &Outcome{Hosts: map[string]HostOutcome{}}
			err := a.survey(t.Context(), outcome)
			if _, stopped := errors.AsType[*ssh.UnreachableError](err); stopped == c.goes {
				t.Fatalf("it goes on: %t, want %t: %v", !stopped, c.goes, err)
			}
			for _, name := range c.off {
				if outcome.Hosts[name].Err == nil {
					t.Errorf("nothing is told of %s", name)
				}
			}
			if !c.goes {
				return
			}
			graph, err := a.plan()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range graph.Steps {
				for _, name := range c.off {
					if slices.Contains(s.Hosts, name) {
						t.Errorf("%s is planned on %s", s.ID, name)
					}
				}
				if s.ID == plan.StepWorkloads {
					t.Error("pods are awaited on a node that is out of reach")
				}
				if await, ok := s.Action.(plan.AwaitEtcd); ok && (len(await.Members) != 3 || !slices.Equal(await.LeftOut, c.off)) {
					t.Errorf("awaited are %+v", await)
				}
			}
			if _, err := a.execution.bind(t.Context(), graph, false); err != nil {
				t.Fatal(err)
			}
			for name, got := range a.costs(t) {
				if !slices.Contains(c.off, name) && got != (cost{1, 2}) {
					t.Errorf("%s cost %+v, and is compared with one connection and two requests", name, got)
				}
			}
		})
	}
}

func TestMembersOfEtcdThatAreAwaited(t *testing.T) {
	well := func(names ...string) (list []member) {
		for _, name := range names {
			list = append(list, member{Member: plan.Member{Name: name}})
		}
		return list
	}
	sick := append(well("cp1", "cp2"), member{Member: plan.Member{Name: "cp3", Problem: "does not answer"}})
	all := []string{"cp1", "cp2", "cp3"}
	for name, c := range map[string]struct {
		members []member
		await   plan.AwaitEtcd
		want    engine.VerdictState
	}{
		"all are there and well":                      {well("cp1", "cp2", "cp3"), plan.AwaitEtcd{Members: all}, engine.Done},
		"one does not answer":                         {sick, plan.AwaitEtcd{Members: all}, engine.Unknown},
		"one whose host is out of reach is no matter": {sick, plan.AwaitEtcd{Members: all, LeftOut: []string{"cp3"}}, engine.Done},
		"another one than that is":                    {sick, plan.AwaitEtcd{Members: all, LeftOut: []string{"cp2"}}, engine.Unknown},
		"out of reach, it must be a member still":     {well("cp1", "cp2"), plan.AwaitEtcd{Members: all, LeftOut: []string{"cp3"}}, engine.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asAwaited(c.members, c.await); got.State != c.want {
				t.Errorf("it is %v: %v", got.State, got.Why)
			}
		})
	}
}
