package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// running is an input of three joined control planes and a worker at a version, all well.
func running(t *testing.T, version string) plan.Input {
	t.Helper()
	in, err := plantest.Input(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	in.State = plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}, MembersKnown: true}
	for _, h := range in.Cluster.Hosts {
		in.State.Nodes[h.Name] = plan.Node{Kubelet: version, Ready: true}
		in.Facts[h.Name].Receipts = []string{kubeadm.JoinCommand}
		if h.IsControlPlane() {
			in.Facts[h.Name].Receipts = []string{kubeadm.JoinEtcdCommand, kubeadm.JoinFinishCommand}
			in.State.APIServers[h.Name] = version
			in.State.Members = append(in.State.Members, plan.Member{Name: h.Name})
		}
	}
	return in
}

func TestChangesThatWouldBreakARuleAreRefusedBeforeAnythingIsPlanned(t *testing.T) {
	leaves := func(names ...string) []plan.Leaving {
		var list []plan.Leaving
		for _, n := range names {
			list = append(list, plan.Leaving{Name: n, ControlPlane: true})
		}
		return list
	}
	for _, c := range []struct {
		name, from string
		edit       func(*plan.Input)
		want       plan.RefusalReason
	}{
		{"nothing to do is no reason to refuse", "v1.36.3", nil, ""},
		{"the next minor version is not refused", "v1.35.4", nil, ""},
		{"a minor version is skipped", "v1.34.4", nil, plan.RefusedSkippedMinor},
		{"the version goes back by a patch", "v1.36.4", nil, plan.RefusedDowngrade},
		{"the version goes back by a minor", "v1.37.0", nil, plan.RefusedDowngrade},
		{"a kubelet is newer than what the API servers shall be", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.37.0"}
		}, plan.RefusedVersionSkew},
		{"a kubelet is too old for what the API servers shall be", "v1.36.3", func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.32.9"}
		}, plan.RefusedVersionSkew},
		{"a pool that lags behind is not in the bundle and its hosts run something else", "v1.36.3", func(in *plan.Input) {
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", nil
		}, plan.RefusedVersionNotInBundle},
		{"a pool that lags behind is not in the bundle and stays as it is", "v1.36.3", func(in *plan.Input) {
			in.Cluster.Hosts[3].KubeletVersion, in.Cluster.Hosts[3].Kubelet = "v1.35.4", nil
			in.State.Nodes["w1"] = plan.Node{Kubelet: "v1.35.4", Ready: true}
		}, ""},
		{"a member leaves while another is down", "v1.36.3", func(in *plan.Input) {
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2", Problem: "no answer"}, {Name: "old"}}
			in.Leaving = leaves("old")
		}, plan.RefusedQuorum},
		{"the member that is down leaves", "v1.36.3", func(in *plan.Input) {
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3"}, {Name: "old", Problem: "no answer"}}
			in.Leaving = leaves("old")
		}, ""},
		{"an upgrade would take down one of two members that are well", "v1.35.4", func(in *plan.Input) {
			in.State.Members[2].Problem = "no answer"
		}, plan.RefusedQuorum},
		{"an upgrade replaces a dead control plane in the same edit", "v1.35.4", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			delete(in.State.APIServers, "cp3")
			in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
			in.Leaving = leaves("old")
		}, plan.RefusedQuorum},
		{"a dead control plane is replaced", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
			in.Leaving = leaves("old")
		}, ""},
		{"an upgrade with unknown health of members", "v1.35.4", func(in *plan.Input) {
			in.State.Members, in.State.MembersKnown = nil, false
		}, plan.RefusedMembersUnknown},
		{"a host joins while a member is down", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2", Problem: "no answer"}}
		}, plan.RefusedQuorum},
		{"a host joins while health is unknown", "v1.36.3", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members, in.State.MembersKnown = nil, false
		}, plan.RefusedMembersUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, c.from)
			if c.edit != nil {
				c.edit(&in)
			}
			graph, err := plan.Converge(in)
			var refused *plan.RefusedError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.As(err, &refused) || refused.Reason != c.want):
				t.Errorf("got %v, want a refusal for %s", err, c.want)
			case c.want != "" && graph != nil:
				t.Error("a refusal came with a graph")
			}
		})
	}
}

// What is changed besides is not known before hosts are compared, and by then it must not be too late.
func TestMembersComeAndGoBeforeStaticPodsAreExchangedWhereNoneCouldBeRestarted(t *testing.T) {
	replaced := func(in *plan.Input) {
		in.Facts["cp3"].Receipts = nil
		in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
		in.Leaving = []plan.Leaving{{Name: "old", ControlPlane: true, Orphan: true}}
	}
	for _, c := range []struct {
		name string
		edit func(*plan.Input)
		want bool
	}{
		{"a dead control plane of three is replaced", replaced, true},
		{"a dead one of three leaves with one that is well", func(in *plan.Input) {
			in.Cluster.Hosts = slices.Delete(in.Cluster.Hosts, 1, 3)
			in.State.Members = []plan.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3", Problem: "no answer"}}
			in.Leaving = []plan.Leaving{{Name: "cp2", ControlPlane: true}, {Name: "cp3", ControlPlane: true}}
		}, true},
		{"one is added to three that are well", func(in *plan.Input) {
			in.Facts["cp3"].Receipts = nil
			in.State.Members[2].Name = "cp4"
		}, false},
		{"the only one gets others", func(in *plan.Input) {
			in.Facts["cp2"].Receipts, in.Facts["cp3"].Receipts = nil, nil
			in.State.Members = in.State.Members[:1]
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			c.edit(&in)
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			needs := map[string][]string{}
			for _, s := range graph.Steps {
				for _, n := range s.Needs {
					needs[s.ID] = append(needs[s.ID], n.Step)
				}
			}
			for _, of := range []string{plan.StepPrepare, plan.StepLeaveMember} {
				if slices.Contains(needs[of], plan.StepCPReturn) && c.want {
					t.Errorf("%s waits for control planes to be restarted", of)
				}
			}
			if got := slices.Contains(needs[plan.StepCPUpdate], plan.StepControlPlane) || slices.Contains(needs[plan.StepCPUpdate], plan.StepLeaveMember); got != c.want {
				t.Errorf("static pods are exchanged after members have come and gone: %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnUpgradeThatCannotReplaceControlPlanesSaysHowItIsDoneInTwoEdits(t *testing.T) {
	in := running(t, "v1.35.4")
	in.Facts["cp3"].Receipts = nil
	delete(in.State.APIServers, "cp3")
	in.State.Members[2] = plan.Member{Name: "old", Problem: "no answer"}
	in.Leaving = []plan.Leaving{{Name: "old", ControlPlane: true, Orphan: true}}
	_, err := plan.Converge(in)
	if err == nil || !strings.Contains(err.Error(), "put the version back to v1.35.4") {
		t.Errorf("got %v", err)
	}
}

func TestTheUpgradeGraphOfARunningClusterIsAsWrittenDown(t *testing.T) {
	in := running(t, "v1.35.4")
	in.Backup.Name, in.Backup.Recipient = "backup", "age1"
	in.Leaving = []plan.Leaving{{Name: "gone", ControlPlane: true, Orphan: true}, {Name: "w9"}}
	in.State.Members = append(in.State.Members, plan.Member{Name: "gone", Problem: "no answer"})
	in.SpecDigest = "sha256:0"
	graph, err := plan.Converge(in)
	if err != nil {
		t.Fatal(err)
	}
	plantest.Golden(t, *update, "upgrade-3-1.txt", []byte(describe(graph.Steps)))
}

func TestAWorkerAddedToAClusterThatIsKnownToBeAsWantedTouchesNobodyElse(t *testing.T) {
	for _, workers := range []int{3, 40} {
		in, err := plantest.Input(3, workers)
		if err != nil {
			t.Fatal(err)
		}
		in.Scope, in.Via = []string{"w1"}, "cp2"
		in.State.Nodes = map[string]plan.Node{"cp2": {Kubelet: "v1.36.3", Ready: true}}
		for name := range in.Facts {
			if name != "w1" && name != "cp2" {
				delete(in.Facts, name)
			}
		}
		graph, err := plan.Converge(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range graph.Steps {
			for _, h := range s.Hosts {
				if h != "w1" && h != "cp2" {
					t.Errorf("in a cluster of %d workers %s runs on %s", workers, s.ID, h)
				}
				if h == "cp2" && len(s.Resources[h]) > 0 && s.ID != plan.StepSnapshot {
					t.Errorf("%s places something on the control plane", s.ID)
				}
			}
		}
	}
}
