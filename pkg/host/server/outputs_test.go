package server_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

func check(t *testing.T, s *hosttest.Session, r api.Resource) api.Verdict {
	t.Helper()
	vs, err := s.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{r}})
	if err != nil {
		t.Fatal(err)
	}
	return vs[0]
}

func outputs(c *api.Command) { c.Outputs = []string{"/etc/made"} }

func TestACommandIsNeededAgainWhenSomebodyChangedItsOutput(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, h *hosttest.Host){
		"edited":                   func(t *testing.T, h *hosttest.Host) { h.Write(t, "/etc/made", "by hand\n") },
		"edited to the same size":  func(t *testing.T, h *hosttest.Host) { h.Write(t, "/etc/made", "nade\n") },
		"deleted":                  func(t *testing.T, h *hosttest.Host) { remove(t, h, "/etc/made") },
		"replaced by other's file": func(t *testing.T, h *hosttest.Host) { remove(t, h, "/etc/made"); h.Write(t, "/etc/made", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			r := command(h, "k", "echo made > $1/etc/made", outputs)
			apply(t, s, r)
			if v := check(t, s, r); v.State != api.Done {
				t.Fatalf("right after the run: %+v", v)
			}
			change(t, h)
			if v := check(t, s, r); v.State != api.Needed || v.Why != "/etc/made was changed since (by hand?)" {
				t.Errorf("after the change: %+v", v)
			}
			if vs := apply(t, s, r); !vs[0].Changed || h.Read("/etc/made") != "made\n" {
				t.Errorf("applied again: %+v, %q", vs, h.Read("/etc/made"))
			}
		})
	}
}

func remove(t *testing.T, h *hosttest.Host, p string) {
	t.Helper()
	if err := os.Remove(h.Path(p)); err != nil {
		t.Fatal(err)
	}
}

func TestAReceiptOfAnOlderHelperStaysValidWithoutDigests(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/var/lib/kubewright/receipts/job.json", `{"key":"k","operation":"op","finished":"2026-11-22T15:00:00Z"}`)
	h.Write(t, "/etc/made", "anything")
	if v := check(t, s, command(h, "k", "exit 1", outputs)); v.State != api.Done {
		t.Errorf("%+v", v)
	}
}

func TestACommandThatLeavesNoOutputIsNotDone(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", "true", outputs)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	if err == nil || !strings.Contains(err.Error(), "/etc/made is missing") {
		t.Errorf("got %v", err)
	}
}

func TestACommandLeavesReceiptsForWhatItCovers(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	whole := command(h, "k", "echo a > $1/etc/a", func(c *api.Command) {
		c.Covers = []api.Cover{
			{Name: "part", Key: "part-key", Outputs: []string{"/etc/a"}},
			{Name: "other", Key: "other-key", Outputs: []string{"/etc/b"}},
		}
	})
	apply(t, s, whole)
	part := command(h, "part-key", "exit 1", func(c *api.Command) { c.Name, c.Outputs = "part", []string{"/etc/a"} })
	if v := check(t, s, part); v.State != api.Done {
		t.Errorf("the covered command: %+v", v)
	}
	other := command(h, "other-key", "exit 1", func(c *api.Command) { c.Name = "other" })
	if v := check(t, s, other); v.State != api.Needed {
		t.Errorf("a covered command whose output is not there: %+v", v)
	}
	h.Write(t, "/etc/a", "by hand")
	if v := check(t, s, part); v.State != api.Needed || !strings.Contains(v.Why, "changed since") {
		t.Errorf("the covered command after a change: %+v", v)
	}
	if v := check(t, s, whole); v.State != api.Done {
		t.Errorf("what only covers does not watch the outputs of others: %+v", v)
	}
	again := h.Connect(t, "op-2", nil)
	f, err := again.Facts(t.Context())
	if err != nil || f.ReceiptKeys["job"] != "k" || f.ReceiptKeys["part"] != "part-key" || len(f.ReceiptKeys) != 2 {
		t.Errorf("receipt keys %v, %v", f.ReceiptKeys, err)
	}
}

func TestWhatACommandMustNotFindIsGoneWhenItStartsAndBackWhenItFails(t *testing.T) {
	const foreign = "/etc/foreign.crt"
	removes := func(c *api.Command) { c.Removes = []string{foreign, "/etc/none.crt"} }
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, foreign, "old\n")
	failing := command(h, "k", `[ -e "$1/etc/foreign.crt" ] && exit 3; echo half > "$1/etc/foreign.crt"; exit 4`, removes)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{failing}}, nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 4") {
		t.Fatalf("got %v", err)
	}
	if h.Read(foreign) != "old\n" {
		t.Errorf("after the failure it holds %q", h.Read(foreign))
	}
	working := command(h, "k", `[ -e "$1/etc/foreign.crt" ] && exit 3; echo new > "$1/etc/foreign.crt"`, removes)
	apply(t, s, working)
	if h.Read(foreign) != "new\n" {
		t.Errorf("after the success it holds %q", h.Read(foreign))
	}
	if left, err := os.ReadDir(h.Path("/var/lib/kubewright/runs/job/aside")); err == nil && len(left) > 0 {
		t.Errorf("the old file is still kept: %v", left)
	}
	if _, err := s.Reset(t.Context(), api.ResetRequest{}, nil); err != nil || h.Read(foreign) != "old\n" {
		t.Errorf("after the reset it holds %q, %v", h.Read(foreign), err)
	}
}

func TestWhatAKilledRunPutAsideIsWhatComesBack(t *testing.T) {
	const path = "/etc/x.crt"
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, path, "true content\n")
	removes := func(c *api.Command) { c.Removes = []string{path} }
	failing := command(h, "k", "exit 4", removes)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{failing}}, nil)
	if err == nil {
		t.Fatal("it did not fail")
	}
	// What a power cut leaves: the true file aside, half a new one in its place.
	aside := "/var/lib/kubewright/runs/job/aside/" + strings.TrimPrefix(digestOf(path), "sha256:")
	h.Write(t, aside, h.Read(path))
	h.Write(t, path, "half")
	if _, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{failing}}, nil); err == nil {
		t.Fatal("it did not fail")
	}
	if h.Read(path) != "true content\n" {
		t.Errorf("it holds %q", h.Read(path))
	}
}
