package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// unitTimeout bounds the wait for a unit that sets no bound itself.
	unitTimeout = time.Minute
	// unitPoll is how often a starting unit is looked at.
	unitPoll = 150 * time.Millisecond
	// unitLogLines is how much of its journal a unit that failed leaves in the error.
	unitLogLines = 20
	// unitFresh is how long after it was begun anew a unit's journal is still of interest.
	unitFresh = time.Minute
	// unitEndings is how often a unit may end by itself while it is awaited.
	unitEndings = 3
)

// unitState is what systemd says of a unit.
type unitState struct {
	load, active, sub, file, typ, invocation string
	needReload, canReload                    bool
	// entered is when it became active last, in microseconds of the kernel's monotonic clock; restarts as systemd counts them.
	entered  int64
	restarts int
}

func (s unitState) found() bool { return s.load == "loaded" }

// enabledIs counts units that cannot be enabled (static ...) as what is wanted.
func (s unitState) enabledIs(want bool) bool {
	switch s.file {
	case "enabled", "alias":
		return want
	case "static", "generated", "indirect", "transient":
		return true
	}
	return !want
}

func (t *Task) unitState(ctx context.Context, name string) (unitState, error) {
	out, err := t.Sys.Runner.Run(ctx, "systemctl", "show", "--property=LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,CanReload,Type,InvocationID,NRestarts,ActiveEnterTimestampMonotonic", "--", name)
	if err != nil {
		return unitState{}, err
	}
	if out.ExitCode != 0 {
		return unitState{}, fmt.Errorf("systemctl show %s: %s", name, strings.Join(out.LastLines(2), "; "))
	}
	var s unitState
	for line := range strings.Lines(out.Stdout) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch k {
		case "LoadState":
			s.load = v
		case "ActiveState":
			s.active = v
		case "SubState":
			s.sub = v
		case "UnitFileState":
			s.file = v
		case "NeedDaemonReload":
			s.needReload = v == "yes"
		case "CanReload":
			s.canReload = v == "yes"
		case "Type":
			s.typ = v
		case "InvocationID":
			s.invocation = v
		case "NRestarts":
			s.restarts, _ = strconv.Atoi(v) // 0 from a systemd that does not count
		case "ActiveEnterTimestampMonotonic":
			s.entered, _ = strconv.ParseInt(v, 10, 64) // 0 where it was never active
		}
	}
	return s, nil
}

// unitReceipt remembers what a unit was last started with.
type unitReceipt struct {
	Inputs string `json:"inputs"`
}

func unitReceiptPath(s *sys.System, name string) string {
	return s.State("receipts", "units", name+".json")
}

func (t *Task) startedWith(name string) string {
	data, err := os.ReadFile(unitReceiptPath(t.Sys, name))
	if err != nil {
		return ""
	}
	var r unitReceipt
	if json.Unmarshal(data, &r) != nil {
		return ""
	}
	return r.Inputs
}

func checkUnit(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	u := r.Unit
	s, err := t.unitState(ctx, u.Name)
	if err != nil {
		return finding{}, err
	}
	f, err := t.compareUnit(u, s)
	if u.Active && !u.LeaveRunning && s.found() {
		f.unit = t.unitRun(ctx, u.Name, s)
	}
	return f, err
}

// unitRun says how a unit has been running, with its own words when that is not well.
func (t *Task) unitRun(ctx context.Context, name string, s unitState) *api.UnitRun {
	run := &api.UnitRun{Restarts: s.restarts}
	var now unix.Timespec
	if s.active == "active" && s.entered > 0 && unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		run.Since = t.Sys.Now().Add(time.Duration(s.entered)*time.Microsecond - time.Duration(now.Nano())).UnixMicro()
	}
	if run.Since == 0 || s.restarts > 0 && t.Sys.Now().Sub(time.UnixMicro(run.Since)) < unitFresh {
		run.Output = t.unitJournal(ctx, name, unitLogLines)
	}
	return run
}

// compareUnit says what a unit lacks.
func (t *Task) compareUnit(u *api.Unit, s unitState) (finding, error) {
	switch {
	case !s.found() && !u.Enabled && !u.Active:
		return done()
	case !s.found():
		return needed(fmt.Sprintf("unit %s is not loaded (%s)", u.Name, s.load))
	case s.needReload:
		return needed("the unit file of " + u.Name + " changed")
	case !s.enabledIs(u.Enabled):
		return needed(fmt.Sprintf("unit %s is %s", u.Name, s.file))
	case u.Active && !u.LeaveRunning && s.active != "active":
		return needed(fmt.Sprintf("unit %s is %s (%s)", u.Name, s.active, s.sub))
	case u.LeaveRunning:
		return done()
	case !u.Active && s.active != "inactive" && s.active != "failed":
		return needed(fmt.Sprintf("unit %s is %s (%s)", u.Name, s.active, s.sub))
	case u.Active && u.Inputs != "":
		return t.checkInputs(u)
	}
	return done()
}

// checkInputs compares what a running unit was started with to what it should run with.
func (t *Task) checkInputs(u *api.Unit) (finding, error) {
	switch started := t.startedWith(u.Name); {
	case started == u.Inputs:
		return done()
	case started == "" && u.Adopt:
		return needed("the inputs of unit " + u.Name + " are not recorded yet")
	}
	return needed("unit " + u.Name + " runs with other inputs")
}

func applyUnit(ctx context.Context, t *Task, r *api.Resource) error {
	u := r.Unit
	timeout := time.Duration(u.TimeoutSeconds) * time.Second
	if timeout <= 0 {
		timeout = unitTimeout
	}
	s, err := t.unitState(ctx, u.Name)
	if err != nil {
		return err
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeUnit, Name: u.Name, Created: !s.found() || t.ownUnitFile(u.Name), Previous: s.file + " " + s.active}); err != nil {
		return err
	}
	if s, err = t.configure(ctx, r, s); err != nil {
		return err
	}
	if u.LeaveRunning {
		return nil
	}
	if !u.Active {
		if err := t.systemctl(ctx, r, "stop", "--", u.Name); err != nil {
			return err
		}
		return removeIfThere(unitReceiptPath(t.Sys, u.Name))
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := t.start(bounded, r, s); err != nil {
		if ctx.Err() == nil && bounded.Err() != nil {
			return t.unitFailed(ctx, r, api.ReasonTimeout, fmt.Sprintf("unit %s was not active within %s", u.Name, timeout))
		}
		return err
	}
	if u.Inputs == "" {
		return nil
	}
	data, err := json.Marshal(unitReceipt{Inputs: u.Inputs})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Sys.State("receipts", "units"), 0o700); err != nil {
		return err
	}
	return sys.WriteFile(unitReceiptPath(t.Sys, u.Name), data, 0o600)
}

// configure makes systemd know the unit's file and enables or disables the unit.
func (t *Task) configure(ctx context.Context, r *api.Resource, s unitState) (unitState, error) {
	u := r.Unit
	var err error
	if !s.enabledIs(u.Enabled) && u.Enabled {
		// Enabling reloads systemd's configuration as well, which takes a good part of a second on a busy machine.
		if err := t.systemctl(ctx, r, "enable", "--", u.Name); err != nil {
			return s, err
		}
		if s, err = t.unitState(ctx, u.Name); err != nil {
			return s, err
		}
	}
	if s.needReload || !s.found() {
		if err := t.systemctl(ctx, r, "daemon-reload"); err != nil {
			return s, err
		}
		if s, err = t.unitState(ctx, u.Name); err != nil {
			return s, err
		}
	}
	if !s.enabledIs(u.Enabled) {
		verb := "disable"
		if u.Enabled {
			verb = "enable"
		}
		return s, t.systemctl(ctx, r, verb, "--", u.Name)
	}
	return s, nil
}

// start starts, restarts or reloads the unit, as its state asks for, and waits until it is active and stays so for a moment.
func (t *Task) start(ctx context.Context, r *api.Resource, s unitState) error {
	u := r.Unit
	verb, started := "start", t.startedWith(u.Name)
	switch {
	case s.active != "active":
		// A unit that failed too often is refused without this; that it was not failed is no error.
		if _, err := t.Sys.Runner.Run(ctx, "systemctl", "reset-failed", "--", u.Name); err != nil {
			return err
		}
	case u.Inputs == "" || started == u.Inputs || (started == "" && u.Adopt):
		return nil
	case u.Reload && s.canReload:
		verb = "reload"
	default:
		verb = "restart"
	}
	t.say(r, verb+" "+u.Name)
	out, err := t.Sys.Runner.Run(ctx, "systemctl", verb, "--", u.Name)
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return t.unitFailed(ctx, r, api.ReasonHost, fmt.Sprintf("systemctl %s %s: %s", verb, u.Name, strings.Join(out.LastLines(2), "; ")))
	}
	tick := time.NewTicker(unitPoll)
	defer tick.Stop()
	var seen *string
	restarts := -1
	for {
		s, err := t.unitState(ctx, u.Name)
		if err != nil {
			return err
		}
		switch {
		case s.active == "active" && (s.typ == "notify" || s.typ == "notify-reload" || s.typ == "oneshot" || s.typ == "dbus" || s.typ == "forking"):
			return nil
		case s.active == "active" && seen != nil && *seen == s.invocation:
			// A simple unit is active before its program has found out whether it can run: the same invocation twice.
			return nil
		case s.active == "failed":
			return t.unitFailed(ctx, r, api.ReasonHost, "unit "+u.Name+" failed")
		case restarts >= 0 && s.restarts >= restarts+unitEndings:
			return t.unitFailed(ctx, r, api.ReasonHost, "unit "+u.Name+" ends by itself again and again")
		case restarts < 0:
			restarts = s.restarts
		}
		seen = nil
		if s.active == "active" {
			seen = &s.invocation
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// unitFailed makes the error of a unit, with the end of its journal.
func (t *Task) unitFailed(ctx context.Context, r *api.Resource, reason api.Reason, message string) error {
	return &api.ResourceError{Reason: reason, Retryable: true, Message: message, Output: t.unitJournal(ctx, r.Unit.Name, unitLogLines)}
}

// unitJournal is the end of a unit's journal, so many lines at most, redacted; nil where there is no journalctl.
func (t *Task) unitJournal(ctx context.Context, name string, lines int) []string {
	out, err := t.Sys.Runner.Run(ctx, "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines="+fmt.Sprint(lines), "--unit="+name)
	if err != nil || out.ExitCode != 0 {
		return nil
	}
	return redact.New().Lines(sys.LastLines(out.Stdout, lines))
}

func (t *Task) systemctl(ctx context.Context, r *api.Resource, args ...string) error {
	out, err := t.Sys.Runner.Run(ctx, append([]string{"systemctl"}, args...)...)
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return &api.ResourceError{Reason: api.ReasonHost, Retryable: true, ExitCode: out.ExitCode, Output: out.LastLines(5),
			Message: fmt.Sprintf("systemctl %s for %s failed", args[0], r.Unit.Name)}
	}
	return nil
}

// ownUnitFile says that we placed the unit's file.
func (t *Task) ownUnitFile(name string) bool {
	for _, dir := range []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if t.Ledger.Owns(dir + "/" + name) {
			return true
		}
	}
	return false
}

func removeIfThere(p string) error {
	if err := os.Remove(p); err != nil && !sys.Missing(err) {
		return err
	}
	return nil
}
