package resource

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/facts"
	"github.com/kubewright/kubewright/pkg/host/ledger"
)

func checkModule(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	if facts.HasModule(t.Sys, r.Module.Name) {
		return done()
	}
	return needed("kernel module " + r.Module.Name + " is neither loaded nor built in")
}

func applyModule(ctx context.Context, t *Task, r *api.Resource) error {
	name := r.Module.Name
	if !facts.HasModulesDir(t.Sys) {
		return &api.ResourceError{Reason: api.ReasonHost, Message: fmt.Sprintf("kernel module %s is not loaded and the host has no /lib/modules for its kernel to load it from: load it on the machine that owns the kernel", name)}
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeModule, Name: name, Created: true}); err != nil {
		return err
	}
	out, err := t.Sys.Runner.Run(ctx, "modprobe", "--", name)
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		lines := out.LastLines(5)
		return &api.ResourceError{Reason: api.ReasonHost, ExitCode: out.ExitCode, Output: lines, Message: "modprobe " + name + ": " + strings.Join(lines, "; ")}
	}
	return nil
}
