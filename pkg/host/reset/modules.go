package reset

import (
	"errors"
	"os"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
)

// modules unloads the kernel modules that we loaded and that nothing uses. One that is in use stays, and is reported: it does no
// harm, and goes with the next boot.
func (r *Resetter) modules(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeModule) {
		users, err := os.ReadFile(r.Sys.Path("/sys/module", strings.ReplaceAll(e.Name, "-", "_"), "refcnt"))
		if err != nil {
			// Built in, or gone.
			continue
		}
		free := strings.TrimSpace(string(users)) == "0"
		if free && !r.dryRun {
			err = r.Kernel.Unload(e.Name)
		}
		if !free || errors.Is(err, ErrInUse) {
			r.do(e, api.ActionKeep, "kernel module "+e.Name+" (in use)", func() error { return nil })
			continue
		}
		r.do(e, "unload", "kernel module "+e.Name, func() error { return err })
	}
}
