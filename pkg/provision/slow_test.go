package provision

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// The way is one of 500 KB a second on which no connection lives long enough for more than a part of the content, and a step may be
// tried twice: only a transfer that goes on where it stopped, and tries that do not count when they came further, bring it to its end.
func TestContentComesOverASlowWayThatBreaksAgainAndAgain(t *testing.T) {
	content := make([]byte, 4<<20)
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(content); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	relay := sshtest.StartRelay(t, m.Addr(), sshtest.RelayConfig{Rate: 500_000, CutAfter: 1_600_000})
	s := sessionsWith(t, map[string]*machine{"n1": m})
	access := s.access["n1"]
	access.Host.Spec.Address, access.Host.Spec.Port = relay.Host(), int32(relay.Port())
	s.access["n1"] = access
	s.blobs = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
	sum := digest.FromBytes(content)
	hosts := &hostSteps{
		sessions: s, owner: hostapi.Owner{ClusterName: "demo", ClusterUID: "uid"}, stall: time.Minute,
		known: map[string]map[string][]hostapi.Verdict{}, first: map[string]map[string][]hostapi.Verdict{}, compared: map[string]bool{},
	}
	step := hosts.bind(plan.Step{ID: plan.StepContent, Hosts: []string{"n1"}, Resources: map[string][]hostapi.Resource{
		"n1": {{ID: "blob/a", Blob: &hostapi.Blob{Digest: sum.String(), Size: int64(len(content))}}},
	}})
	step.ID, step.Hosts = plan.StepContent, []string{"n1"}
	step.Timeout = time.Second
	step.Retry = engine.RetryPolicy{Attempts: 2, Initial: time.Millisecond}

	result, err := engine.Run(t.Context(), engine.Graph{Steps: []engine.Step{step}}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(m.host.Path("/var/lib/kubewright/blobs/sha256/" + sum.Encoded()))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are there: %v", len(got), err)
	}
	tries := result.Steps[0].Hosts[0].Tries
	if tries <= 2 || relay.Connections() < tries {
		t.Errorf("%d tries over %d connections: the way did not break often enough to show anything", tries, relay.Connections())
	}
	if carried := relay.Carried(); carried > int64(len(content))*3/2 {
		t.Errorf("%d bytes were carried for content of %d: some came twice", carried, len(content))
	}
	if left, err := os.ReadDir(m.host.Path("/var/lib/kubewright/blobs/sha256")); err != nil || len(left) != 1 {
		var names []string
		for _, l := range left {
			names = append(names, l.Name())
		}
		t.Errorf("in staging lie %s, %v", strings.Join(names, ", "), err)
	}
}

func TestAHostIsNotTriedForeverForTheSameBytes(t *testing.T) {
	blob := hostapi.Resource{ID: "blob/a", Blob: &hostapi.Blob{Digest: "sha256:" + strings.Repeat("a", 64), Size: 5 << 20}}
	s := plan.Step{ID: plan.StepContent, Resources: map[string][]hostapi.Resource{"n1": {blob}}}
	hosts := &hostSteps{}
	for _, try := range []struct {
		name     string
		reports  []hostapi.Progress
		advanced bool
	}{
		{"a try that brings something came further", []hostapi.Progress{{Resource: "blob/a", Done: 1 << 20}, {Resource: "blob/a", Done: 2 << 20}}, true},
		{"one that brings the same again did not", []hostapi.Progress{{Resource: "blob/a", Done: 1 << 20}, {Resource: "blob/a", Done: 2 << 20}}, false},
		{"nor one that brings next to nothing", []hostapi.Progress{{Resource: "blob/a", Done: 2<<20 + 1}}, false},
		{"more than there is counts as all of it", []hostapi.Progress{{Resource: "blob/a", Done: 1 << 40}}, true},
		{"and is not believed twice", []hostapi.Progress{{Resource: "blob/a", Done: 1 << 41}}, false},
		{"what was not asked for does not count", []hostapi.Progress{{Resource: "blob/b", Done: 1 << 40}}, false},
	} {
		t.Run(try.name, func(t *testing.T) {
			m := hosts.markOf(s, "n1")
			for _, p := range try.reports {
				m.raise(p)
			}
			if m.advanced() != try.advanced {
				t.Errorf("advanced is %t, want %t", m.advanced(), try.advanced)
			}
		})
	}
}

func TestProgressIsOfAllContentThatIsMissing(t *testing.T) {
	blob := func(id string, mib int64) hostapi.Resource {
		return hostapi.Resource{ID: id, Blob: &hostapi.Blob{Digest: "sha256:" + strings.Repeat("a", 64), Size: mib << 20}}
	}
	s := plan.Step{ID: plan.StepContent, Resources: map[string][]hostapi.Resource{"n1": {blob("blob/a", 51), blob("blob/b", 900), blob("blob/there", 13)}}}
	missing := func(mib int64) hostapi.Verdict {
		return hostapi.Verdict{State: hostapi.Needed, Why: hostapi.BlobMissing(mib << 20)}
	}
	hosts := &hostSteps{first: map[string]map[string][]hostapi.Verdict{plan.StepContent: {"n1": {missing(51), missing(900), {State: hostapi.Done}}}}}
	m := hosts.markOf(s, "n1")
	for _, at := range []struct {
		p    hostapi.Progress
		want string
	}{
		{hostapi.Progress{Resource: "blob/a", Done: 51 << 20, Total: 51 << 20}, "51 of 951 MiB"},
		{hostapi.Progress{Resource: "blob/b", Done: 100 << 20, Total: 900 << 20}, "151 of 951 MiB"},
		{hostapi.Progress{Resource: "blob/b", Done: 900 << 20, Total: 900 << 20}, "951 of 951 MiB"},
	} {
		m.raise(at.p)
		if got := m.text(hosts.lacked(s.ID, "n1")); got != at.want {
			t.Errorf("it says %s, want %s", got, at.want)
		}
	}
}
