package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/staticpod"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// commandLines is how many lines of output a command that failed leaves in the error.
const commandLines = 30

func checkCommand(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	c := r.Command
	receipt, err := detach.ReadReceipt(t.Sys, c.Name)
	if err != nil {
		return finding{}, err
	}
	changed, err := t.changed(c, receipt)
	if err != nil {
		return finding{}, err
	}
	if receipt != nil && receipt.Key == c.Key && !t.Runs.Locked(c.Name) && t.missing(c.Creates) == "" && changed == "" {
		// Nobody starts it again in this state, so systemd need not be asked.
		if left := t.Runs.Left(c.Scratch); left != "" {
			return needed(left + " was left behind and must not stay")
		}
		return done()
	}
	running, err := t.Runs.Running(ctx, c.Name)
	switch {
	case err != nil:
		return finding{}, err
	case running:
		return finding{state: api.Needed, why: "still running, will attach", running: true}, nil
	case receipt == nil:
		return needed(t.whyNoReceipt(c))
	case receipt.Key != c.Key:
		return needed(otherInputs(receipt.Inputs, c.Inputs))
	}
	if p := t.missing(c.Creates); p != "" {
		return needed(p + " is missing")
	}
	if changed != "" {
		return needed(changed + " was changed since (by hand?)")
	}
	// It ended between the first look and the second.
	return done()
}

// otherInputs says what a command was done for that is not so any more, as far as both sides tell.
func otherInputs(had, want map[string]string) string {
	var names []string
	for name := range want {
		if had[name] != want[name] {
			names = append(names, name)
		}
	}
	for name := range had {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	why := "it was done for other inputs"
	if len(had) > 0 && len(want) > 0 && len(names) > 0 {
		slices.Sort(names)
		why += ": " + strings.Join(names, ", ")
	}
	return why
}

// changed is the first output whose digest is not the one in the receipt any more, or that is gone. Outputs that the receipt
// does not know (it was left by an older helper, or for fewer outputs) count as unchanged.
func (t *Task) changed(c *api.Command, receipt *detach.Receipt) (string, error) {
	if receipt == nil {
		return "", nil
	}
	for _, p := range c.Outputs {
		want, ok := receipt.Outputs[p]
		if !ok {
			continue
		}
		got, err := t.Stamps.Digest(p)
		switch {
		case sys.Missing(err):
			return p, nil
		case err != nil:
			return "", err
		case got != want:
			return p, nil
		}
	}
	return "", nil
}

// whyNoReceipt tells a command that never ran from one that ran well and yet did not leave what it should.
func (t *Task) whyNoReceipt(c *api.Command) string {
	result, err := t.Runs.Result(c.Name)
	if err == nil && result != nil && result.ExitCode == 0 && result.Key == c.Key {
		if p := t.missing(slices.Concat(c.Creates, c.Outputs)); p != "" {
			return p + " is missing"
		}
	}
	return "it has not been done yet"
}

// missing is the first of the paths that does not exist.
func (t *Task) missing(paths []string) string {
	for _, p := range paths {
		if !sys.Exists(t.Sys.Path(p)) {
			return p
		}
	}
	return ""
}

func applyCommand(ctx context.Context, t *Task, r *api.Resource) error {
	c := r.Command
	if len(c.Scratch) > 0 && !t.Runs.Locked(c.Name) {
		if err := t.Runs.Sweep(c.Scratch); err != nil {
			return err
		}
		// That may have been all there was to do.
		if found, err := checkCommand(ctx, t, r); err != nil || found.state == api.Done {
			return err
		}
	}
	return t.runCommand(ctx, r, c)
}

// runCommand starts a command for a resource, or attaches to it, and waits for its end.
func (t *Task) runCommand(ctx context.Context, r *api.Resource, c *api.Command) error {
	running, err := t.Runs.Running(ctx, c.Name)
	if err != nil {
		return err
	}
	if running {
		t.say(r, "attach to "+detach.UnitName(c.Name))
		result, err := t.follow(ctx, r, c.Name)
		if err != nil {
			return err
		}
		if result.Key == c.Key {
			return t.commandEnded(ctx, c, result)
		}
		// It was a run for other inputs; ours comes next.
	}
	if err := t.awaitStaticPods(ctx, r, c); err != nil {
		return err
	}
	entries := []ledger.Entry{{Type: ledger.TypeRun, Name: c.Name, Created: true}}
	if err := t.Ledger.Record(entries...); err != nil {
		return err
	}
	for _, p := range slices.Concat(c.Owns, c.Creates) {
		if err := t.recordTree(p); err != nil {
			return err
		}
	}
	for _, p := range c.Removes {
		if !sys.Exists(t.Sys.Path(p)) {
			continue
		}
		if err := t.recordPath(p); err != nil {
			return err
		}
	}
	if err := t.Runs.Start(ctx, t.Operation, c); err != nil {
		return &api.ResourceError{Reason: api.ReasonHost, Retryable: true, Message: err.Error()}
	}
	result, err := t.follow(ctx, r, c.Name)
	if err != nil {
		return err
	}
	return t.commandEnded(ctx, c, result)
}

func (t *Task) follow(ctx context.Context, r *api.Resource, name string) (*detach.Result, error) {
	result, err := t.Runs.Follow(ctx, name, func(line string) { t.say(r, line) })
	var lost *detach.LostError
	if errors.As(err, &lost) {
		return nil, &api.ResourceError{Reason: api.ReasonLost, Retryable: true, Message: err.Error(), Output: t.Runs.LastLines(name, commandLines)}
	}
	return result, err
}

func (t *Task) commandEnded(ctx context.Context, c *api.Command, result *detach.Result) error {
	if result.ExitCode == 0 {
		return nil
	}
	e := &api.ResourceError{
		Reason: api.ReasonCommandFailed, Retryable: true, ExitCode: result.ExitCode,
		Message: fmt.Sprintf("command %s failed", c.Name),
		Output:  append(t.Runs.LastLines(c.Name, commandLines), t.staticPodsSaid(ctx, c.StaticPods)...),
	}
	switch {
	case result.Ended != nil:
		e.Reason, e.Retryable = api.ReasonEndsAgain, false
		e.Message, e.Output = t.endedAgain(c, result), result.Ended.Said
	case result.TimedOut:
		e.Reason, e.Message = api.ReasonTimeout, fmt.Sprintf("command %s was stopped after %s", c.Name, result.Finished.Sub(result.Started).Round(1e9))
	case result.Error != "":
		e.Message = fmt.Sprintf("command %s failed: %s", c.Name, result.Error)
	}
	if result.Ended == nil {
		e.Message += t.leftBehind(c, e.Output)
	}
	if errs, final := refusals(e.Output); len(errs) > 0 {
		e.Reason, e.Retryable, e.Output = api.ReasonRefusedByKubeadm, !final, nil
		e.Message += ", because of checks of kubeadm's own: " + strings.Join(errs, "; ")
	}
	return e
}

// endedAgain is the headline of a command that was stopped because what it waited for ended again and again.
func (t *Task) endedAgain(c *api.Command, result *detach.Result) string {
	text := fmt.Sprintf("command %s was stopped: %s", c.Name, result.Ended.Message)
	if result.Ended.Restored {
		text += "; its former manifests were put back"
	}
	if result.Error != "" {
		text += "; " + result.Error
	}
	return text
}

// rolledBack is what kubeadm says when it has put former manifests back (k8s.io/kubernetes, cmd/kubeadm, rollbackOldManifests).
const rolledBack = "kubeadm has tried to recover everything into the earlier state"

// leftBehind says how a command that failed leaves static pods: which of them does not run, and whether kubeadm has put former ones back.
func (t *Task) leftBehind(c *api.Command, output []string) string {
	text := ""
	if pod := t.podAway(c.StaticPods); pod != "" {
		said, _ := staticpod.Said(t.Sys, pod, podLines)
		text += fmt.Sprintf("; static pod %s does not run: %s", pod, staticpod.LastWords(said))
	}
	if slices.ContainsFunc(output, func(line string) bool { return strings.Contains(line, rolledBack) }) {
		text += "; kubeadm has put the former manifests back"
	}
	return text
}
