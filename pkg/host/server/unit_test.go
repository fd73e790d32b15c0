package server_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func unit(inputs string) api.Resource {
	return api.Resource{ID: "unit", Unit: &api.Unit{Name: "app.service", Enabled: true, Active: true, Inputs: inputs}}
}

func TestAUnitIsRestartedOnlyForOtherInputs(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	apply(t, s, file("f", "/etc/systemd/system/app.service", "x"), unit("1"))
	if !h.System.Active("app.service") {
		t.Fatal("it does not run")
	}
	if vs := apply(t, s, unit("1")); vs[0].Changed {
		t.Errorf("again: %+v", vs)
	}
	if n := len(h.System.Calls("systemctl restart")); n != 0 {
		t.Errorf("restarted %d times", n)
	}
	if vs := apply(t, s, unit("2")); !vs[0].Changed || len(h.System.Calls("systemctl restart")) != 1 {
		t.Errorf("other inputs: %+v, %q", vs, h.System.Calls("systemctl"))
	}
	h.System.SetUnit("app.service", true, false)
	if vs := apply(t, s, unit("2")); !vs[0].Changed || !h.System.Active("app.service") {
		t.Errorf("stopped by somebody: %+v", vs)
	}
	off := api.Resource{ID: "unit", Unit: &api.Unit{Name: "app.service"}}
	if vs := apply(t, s, off); !vs[0].Changed || h.System.Active("app.service") {
		t.Errorf("switched off: %+v", vs)
	}
	absent := api.Resource{ID: "unit", Unit: &api.Unit{Name: "nobody.service"}}
	if vs := apply(t, s, absent); vs[0].Changed {
		t.Errorf("a unit that is not there is off: %+v", vs)
	}
}

func TestAUnitThatDoesNotStartShowsItsJournal(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/systemd/system/app.service", "x")
	h.System.Fail("systemctl start", sys.Output{ExitCode: 1, Stderr: "Job for app.service failed.\n"})
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{unit("1")}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || !strings.Contains(re.Message, "Job for app.service failed") || !slices.Contains(re.Output, "it was the unit's own fault") {
		t.Fatalf("got %#v", err)
	}
}

func TestAUnitThatEndsAgainAndAgainIsNotWaitedForToTheEnd(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/systemd/system/app.service", "x")
	h.System.CrashLoop("app.service")
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{unit("1")}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || !strings.Contains(re.Message, "ends by itself again and again") || !re.Retryable || !slices.Contains(re.Output, "it was the unit's own fault") {
		t.Fatalf("got %#v", err)
	}
}

func TestARunningUnitIsAdoptedWithoutARestart(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/systemd/system/app.service", "x")
	h.System.SetUnit("app.service", true, true)
	adopt := func(inputs string) api.Resource {
		r := unit(inputs)
		r.Unit.Adopt = true
		return r
	}
	if v := check(t, s, adopt("1")); v.State != api.Needed || !strings.Contains(v.Why, "not recorded yet") {
		t.Errorf("before: %+v", v)
	}
	if vs := apply(t, s, adopt("1")); !vs[0].Changed || len(h.System.Calls("systemctl restart")) != 0 || len(h.System.Calls("systemctl start")) != 0 {
		t.Errorf("adopting: %+v, %q", vs, h.System.Calls("systemctl"))
	}
	if v := check(t, s, adopt("1")); v.State != api.Done {
		t.Errorf("afterwards: %+v", v)
	}
	if vs := apply(t, s, adopt("2")); !vs[0].Changed || len(h.System.Calls("systemctl restart")) != 1 {
		t.Errorf("other inputs: %+v, %q", vs, h.System.Calls("systemctl"))
	}
}

func TestAUnitThatCanReloadIsReloadedForOtherInputsWhenAsked(t *testing.T) {
	for name, c := range map[string]struct {
		file              string
		reloads, restarts int
	}{
		"it can":    {"ExecReload=/bin/kill -HUP $MAINPID\n", 1, 0},
		"it cannot": {"ExecStart=/bin/app\n", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			r := unit("1")
			r.Unit.Reload = true
			apply(t, s, file("f", "/etc/systemd/system/app.service", c.file), r)
			r.Unit.Inputs = "2"
			if vs := apply(t, s, r); !vs[0].Changed {
				t.Errorf("%+v", vs)
			}
			if n, m := len(h.System.Calls("systemctl reload --")), len(h.System.Calls("systemctl restart")); n != c.reloads || m != c.restarts {
				t.Errorf("%d reloads, %d restarts", n, m)
			}
			if v := check(t, s, r); v.State != api.Done {
				t.Errorf("afterwards: %+v", v)
			}
		})
	}
}

func TestAUnitTellsHowItHasBeenRunning(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/systemd/system/app.service", "x")
	if v := check(t, s, unit("1")); v.Unit == nil || v.Unit.Since != 0 || len(v.Unit.Output) == 0 {
		t.Errorf("before it runs: %+v", v.Unit)
	}
	vs := apply(t, s, unit("1"))
	if run := vs[0].Unit; run == nil || run.Since == 0 || run.Restarts != 0 || len(run.Output) > 0 {
		t.Errorf("begun: %+v", run)
	}
	h.System.Crash("app.service")
	if v := check(t, s, unit("1")); v.State != api.Done || v.Unit == nil || v.Unit.Restarts != 1 {
		t.Errorf("after it ended by itself: %+v, %+v", v, v.Unit)
	}
	if v := check(t, s, api.Resource{ID: "unit", Unit: &api.Unit{Name: "app.service", Enabled: true, LeaveRunning: true}}); v.Unit != nil {
		t.Errorf("somebody else's business: %+v", v.Unit)
	}
}
