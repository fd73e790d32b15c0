package plan_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

func TestWhoMayJoinEtcd(t *testing.T) {
	well := []plan.Member{{Name: "cp1"}, {Name: "cp2"}}
	for _, c := range []struct {
		name      string
		more      plan.Member
		holdsData bool
		allowed   bool
	}{
		{"a host that etcd does not know", plan.Member{Name: "cp1"}, false, true},
		{"a host whose learner never started and that holds nothing", plan.Member{Name: "cp3", Learner: true, Unstarted: true, Problem: "has not started"}, false, true},
		{"a host that was cut off as a learner and holds its data", plan.Member{Name: "cp3", Learner: true}, true, true},
		{"a host that was cut off as a voter and holds its data, while its etcd is down", plan.Member{Name: "cp3", Problem: "no answer"}, true, true},
		{"a host that voted and has lost its data", plan.Member{Name: "cp3", Problem: "no answer"}, false, false},
		{"a host that was a learner and has lost its data", plan.Member{Name: "cp3", Learner: true, Problem: "no answer"}, false, false},
		{"a host whose vote counts though it never started", plan.Member{Name: "cp3", Unstarted: true, Problem: "has not started"}, false, false},
		{"a host while another machine serves under its name", plan.Member{Name: "cp3"}, false, false},
		{"a host while another member is down", plan.Member{Name: "cp4", Problem: "no answer"}, false, false},
		{"a host while another one catches up", plan.Member{Name: "cp4", Learner: true}, false, false},
		{"a host while another one, cut off, never started as a learner", plan.Member{Name: "cp4", Learner: true, Unstarted: true, Problem: "has not started"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := plan.CanGrow(append(slices.Clone(well), c.more), "cp3", c.holdsData); (err == nil) != c.allowed {
				t.Errorf("got %v, want allowed to be %v", err, c.allowed)
			}
		})
	}
}

// A member that starts again with an empty log has forgotten what it promised, and kubeadm starts the one it finds at the host's address.
func TestAReinstalledControlPlaneIsForgottenByEtcdBeforeItJoins(t *testing.T) {
	dead := plan.Member{Name: "cp3", Problem: "no answer"}
	for _, c := range []struct {
		name   string
		member plan.Member
		edit   func(*hostapi.Facts)
		want   bool
	}{
		{"its member is down", dead, nil, true},
		{"its member answers, from a machine that it was before", plan.Member{Name: "cp3"}, nil, true},
		{"its member votes and never started", plan.Member{Name: "cp3", Unstarted: true, Problem: "has not started"}, nil, true},
		{"its member is a learner that never started, left by an attempt that was cut off", plan.Member{Name: "cp3", Learner: true, Unstarted: true, Problem: "has not started"}, nil, false},
		{"the host holds the data", dead, func(f *hostapi.Facts) { f.Paths = []hostapi.PathFact{{Path: layout.EtcdMemberDir}} }, false},
		{"the host is joining etcd right now", dead, func(f *hostapi.Facts) { f.Runs = []string{kubeadm.JoinEtcdCommand} }, false},
		{"the host has joined etcd", dead, func(f *hostapi.Facts) { f.Receipts = []string{kubeadm.JoinEtcdCommand} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			in.Facts["cp3"].Receipts = nil
			in.State.Members[2] = c.member
			if c.edit != nil {
				c.edit(in.Facts["cp3"])
			}
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			var forgotten []string
			for _, s := range graph.Steps {
				switch s.ID {
				case plan.StepForget:
					forgotten = s.Hosts
					if s.Guard != plan.GuardEtcdCanShrink {
						t.Errorf("it is forgotten under the guard %q", s.Guard)
					}
				case plan.StepPrepare:
					if waits := slices.ContainsFunc(s.Needs, func(n engine.Need) bool { return n.Step == plan.StepForget && n.Scope == engine.AllHosts }); waits != c.want {
						t.Errorf("that the host waits until the member is forgotten is %v, want %v", waits, c.want)
					}
				}
			}
			if got := slices.Equal(forgotten, []string{"cp3"}); got != c.want {
				t.Errorf("%q are forgotten, want cp3 to be: %v", forgotten, c.want)
			}
		})
	}
	t.Run("and not while another member is down", func(t *testing.T) {
		in := running(t, "v1.36.3")
		in.Facts["cp3"].Receipts = nil
		in.State.Members[1].Problem, in.State.Members[2] = "no answer", dead
		_, err := plan.Converge(in)
		if refused, ok := errors.AsType[*plan.RefusedError](err); !ok || refused.Reason != plan.RefusedQuorum {
			t.Errorf("got %v, want a refusal for quorum", err)
		}
	})
}
