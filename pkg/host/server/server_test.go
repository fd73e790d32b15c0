package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

var owner = api.Owner{ClusterName: "demo", ClusterUID: "uid-1"}

func file(id, path, content string) api.Resource {
	return api.Resource{ID: id, File: &api.File{Path: path, Content: []byte(content)}}
}

func lease(t *testing.T, s *hosttest.Session) {
	t.Helper()
	if _, err := s.AcquireLease(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, s *hosttest.Session, rs ...api.Resource) []api.Verdict {
	t.Helper()
	vs, err := s.Apply(t.Context(), api.ApplyRequest{Step: "test", Owner: owner, Resources: rs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestASessionThatOnlyLooksNeedsTwoRequestsAndChangesNothing(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	f, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Hostname != "n1" || f.OS.ID != "debian" || f.Owner != nil || f.Lease.Held {
		t.Errorf("facts are not those of the host: %+v", f)
	}
	if f.ClockSkew.Abs() > time.Second {
		t.Errorf("the clock of the same machine is off by %s", f.ClockSkew)
	}
	vs, err := s.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{file("a", "/etc/kw/a", "x")}})
	if err != nil {
		t.Fatal(err)
	}
	if vs[0].State != api.Needed {
		t.Errorf("a missing file is %s", vs[0].State)
	}
	if n := s.Stats().Requests; n != 2 {
		t.Errorf("looking took %d requests, want 2", n)
	}
	if got := h.Read("/var/lib/kubewright/ledger.json"); got != "" {
		t.Errorf("looking wrote a ledger: %s", got)
	}
}

func TestChangesAreRefusedWithoutTheLease(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{file("a", "/etc/kw/a", "x")}}, nil)
	var fenced *api.FencedError
	if !errors.As(err, &fenced) {
		t.Fatalf("got %v, want a FencedError", err)
	}
	if _, err := s.Reset(t.Context(), api.ResetRequest{}, nil); !errors.As(err, &fenced) {
		t.Fatalf("reset without the lease: got %v, want a FencedError", err)
	}
	if h.Read("/etc/kw/a") != "" {
		t.Error("the refused change was made")
	}
}

func TestTheLeaseBelongsToOneSessionAndItsTokenOnlyGrows(t *testing.T) {
	h := hosttest.New(t)
	first := h.Connect(t, "op-1", nil)
	token, err := first.AcquireLease(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	second := h.Connect(t, "op-2", nil)
	_, err = second.AcquireLease(t.Context(), 0)
	var held *api.LeaseHeldError
	if !errors.As(err, &held) || held.Operation != "op-1" {
		t.Fatalf("got %v, want a LeaseHeldError that names op-1", err)
	}
	if f, err := second.Facts(t.Context()); err != nil || !f.Lease.Held {
		t.Errorf("facts do not show the lease as held: %v %v", f, err)
	}
	got := make(chan int64, 1)
	go func() {
		n, err := second.AcquireLease(context.Background(), time.Minute)
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	first.Kill()
	if n := <-got; n <= token {
		t.Errorf("token %d after %d", n, token)
	}
	apply(t, second, file("a", "/etc/kw/a", "x"))
}

func TestAnOldTokenIsFenced(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	if err := s.ReleaseLease(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{file("a", "/etc/kw/a", "x")}}, nil)
	var fenced *api.FencedError
	if !errors.As(err, &fenced) || fenced.Current != 1 {
		t.Fatalf("got %v, want a FencedError with current token 1", err)
	}
}

func TestAHostOfAnotherClusterIsNotTouched(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	apply(t, s, file("a", "/etc/kw/a", "ours"))
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: api.Owner{ClusterName: "other", ClusterUID: "uid-2"}, Resources: []api.Resource{file("a", "/etc/kw/a", "theirs")}}, nil)
	var owned *api.OwnedByOtherError
	if !errors.As(err, &owned) || owned.Owner.ClusterName != "demo" {
		t.Fatalf("got %v, want an OwnedByOtherError that names demo", err)
	}
	if got := h.Read("/etc/kw/a"); got != "ours" {
		t.Errorf("the file is now %q", got)
	}
	if _, err := s.Reset(t.Context(), api.ResetRequest{Owner: api.Owner{ClusterUID: "uid-2"}}, nil); !errors.As(err, &owned) {
		t.Errorf("reset by another cluster: got %v", err)
	}
}

func TestABrokenConnectionIsALostErrorAndTheSameRequestResumes(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	rs := []api.Resource{
		file("before", "/etc/kw/before", "1"),
		{ID: "wait", Probe: &api.Probe{TCP: "127.0.0.1:1", TimeoutSeconds: 3600}},
		file("after", "/etc/kw/after", "2"),
	}
	failed := make(chan error, 1)
	go func() {
		_, err := s.Apply(context.Background(), api.ApplyRequest{Owner: owner, Resources: rs}, nil)
		failed <- err
	}()
	waitFor(t, "the first file", func() bool { return h.Read("/etc/kw/before") == "1" })
	s.Kill()
	err := <-failed
	var lost *client.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v, want a LostError", err)
	}
	<-s.Done()

	again := h.Connect(t, "op-1", nil)
	lease(t, again)
	rs = append(rs[:1], rs[2])
	vs := apply(t, again, rs...)
	if vs[0].Changed || !vs[1].Changed {
		t.Errorf("resumed with verdicts %+v: want the first left alone and the second made", vs)
	}
	if h.Read("/etc/kw/after") != "2" {
		t.Error("the second file is missing")
	}
}

func TestApplyStopsAtTheFirstFailureAndSaysWhich(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/kw/dir/x", "")
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	vs, err := s.Apply(t.Context(), api.ApplyRequest{Step: "st", Owner: owner, Resources: []api.Resource{
		file("good", "/etc/kw/good", "1"), file("bad", "/etc/kw/dir", "2"), file("never", "/etc/kw/never", "3"),
	}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Resource != "bad" || re.Kind != api.KindFile || re.Reason != api.ReasonInvalid {
		t.Fatalf("got %v, want the ResourceError of bad", err)
	}
	if len(vs) != 1 || vs[0].Resource != "good" {
		t.Errorf("verdicts before the error are %+v", vs)
	}
	if h.Read("/etc/kw/never") != "" {
		t.Error("it went on after the failure")
	}
	logs, err := s.Logs(t.Context(), "op-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, e := range logs.Entries {
		events = append(events, e.Event+" "+e.Resource)
	}
	if got := strings.Join(events, ", "); got != "lease , apply good, changed good, apply bad, failed bad" {
		t.Errorf("the journal reads: %s", got)
	}
}

func TestTheJournalOutlivesTheSession(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	apply(t, s, file("a", "/etc/kw/a", "x"))
	s.Kill()
	later := h.Connect(t, "look", nil)
	ops, err := later.Operations(t.Context())
	if err != nil || len(ops) != 1 || ops[0].Operation != "op-1" {
		t.Fatalf("operations are %+v, %v", ops, err)
	}
	logs, err := later.Logs(t.Context(), "op-1", 1)
	if err != nil || len(logs.Entries) != 1 || logs.Entries[0].Event != "changed" {
		t.Fatalf("the last entry is %+v, %v", logs, err)
	}
}

func TestMalformedRequestsAreRefusedBeforeAnythingIsTouched(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil)
	lease(t, s)
	cases := map[string]api.Resource{
		"no kind":                    {ID: "x"},
		"two kinds":                  {ID: "x", Dir: &api.Dir{Path: "/a/b"}, Absent: &api.Absent{Path: "/a/b"}},
		"relative path":              file("x", "etc/a", ""),
		"path with dots":             file("x", "/etc/../a", ""),
		"setuid":                     {ID: "x", File: &api.File{Path: "/etc/kw", Mode: 0o4755}},
		"digest":                     {ID: "x", Blob: &api.Blob{Digest: "sha256:../../etc/shadow"}},
		"unit name":                  {ID: "x", Unit: &api.Unit{Name: "--root=/.service"}},
		"module name":                {ID: "x", Module: &api.Module{Name: "-r"}},
		"sysctl":                     {ID: "x", Sysctl: &api.Sysctl{Key: "net/../../etc/passwd", Value: "1"}},
		"limit that is no number":    {ID: "x", Sysctl: &api.Sysctl{Key: "fs.file-max", Value: "many", AtLeast: true}},
		"image name":                 {ID: "x", Image: &api.Image{Name: "--all"}},
		"command name":               {ID: "x", Command: &api.Command{Name: "../x", Argv: []string{"/bin/true"}, Key: "k"}},
		"command without a path":     {ID: "x", Command: &api.Command{Name: "x", Argv: []string{"true"}, Key: "k"}},
		"command file outside":       {ID: "x", Command: &api.Command{Name: "x", Argv: []string{"/bin/true"}, Key: "k", Files: []api.CommandFile{{Path: "../../etc/shadow"}}}},
		"absent of a system path":    {ID: "x", Absent: &api.Absent{Path: "/var/lib"}},
		"absent of the root":         {ID: "x", Absent: &api.Absent{Path: "/etc"}},
		"probe with credentials":     {ID: "x", Probe: &api.Probe{URL: "https://a:b@127.0.0.1/"}},
		"command without a key":      {ID: "x", Command: &api.Command{Name: "x", Argv: []string{"/bin/true"}}},
		"owned path is the /usr/bin": {ID: "x", Command: &api.Command{Name: "x", Argv: []string{"/bin/true"}, Key: "k", Owns: []string{"/usr/bin"}}},
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
			var invalid *api.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
		})
	}
	if h.Read("/var/lib/kubewright/ledger.json") != "" {
		t.Error("a refused request claimed the host")
	}
}

func TestOnlyCertificatesCanBeRead(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/kubernetes/pki/ca.crt", "public")
	h.Write(t, "/etc/kubernetes/pki/ca.key", "private")
	h.Write(t, "/etc/kubernetes/admin.conf", "private")
	s := h.Connect(t, "op-1", nil)
	got, err := s.PublicFile(t.Context(), "/etc/kubernetes/pki/ca.crt")
	if err != nil || string(got) != "public" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, p := range []string{"/etc/kubernetes/pki/ca.key", "/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/../admin.conf", "/etc/shadow"} {
		if _, err := s.PublicFile(t.Context(), p); err == nil {
			t.Errorf("%s could be read", p)
		}
	}
}

func TestASilentControllerEndsTheHelper(t *testing.T) {
	h := hosttest.New(t)
	done := h.Silent(t)
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the helper still serves a controller that has been silent for two minutes at a keepalive of 1 s")
	}
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come within two minutes", what)
		case <-tick.C:
		}
	}
}
