package reset

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/ledger"
)

// stopUnit stops and disables a unit; one that is gone already is fine.
func (r *Resetter) stopUnit(ctx context.Context, e ledger.Entry) {
	out, err := r.Sys.Runner.Run(ctx, "systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", e.Name)
	state := out.Stdout
	if err == nil && strings.Contains(state, "LoadState=not-found") && !strings.Contains(state, "ActiveState=active") {
		return
	}
	r.do(e, "stop", e.Name, func() error {
		if err != nil {
			return err
		}
		if err := r.systemctl(ctx, "stop", "--", e.Name); err != nil {
			return err
		}
		if !e.Created {
			return nil
		}
		if strings.Contains(state, "ActiveState=failed") {
			// Or systemd goes on listing a failed unit whose file is gone.
			if err := r.systemctl(ctx, "reset-failed", "--", e.Name); err != nil {
				return err
			}
		}
		if strings.Contains(state, "UnitFileState=enabled") {
			return r.systemctl(ctx, "disable", "--", e.Name)
		}
		return nil
	})
}

// restoreUnits tells systemd about the files that are gone or back, and puts units that were there before us into the
// state they had.
func (r *Resetter) restoreUnits(ctx context.Context, entries []ledger.Entry) {
	units := ofType(entries, ledger.TypeUnit)
	if len(units) == 0 {
		return
	}
	r.do(ledger.Entry{}, "reload", "systemd", func() error { return r.systemctl(ctx, "daemon-reload") })
	for _, e := range units {
		if e.Created {
			continue
		}
		file, active, _ := strings.Cut(e.Previous, " ")
		r.do(e, "restore", e.Name+" ("+e.Previous+")", func() error {
			switch file {
			case "enabled":
				if err := r.systemctl(ctx, "enable", "--", e.Name); err != nil {
					return err
				}
			case "disabled":
				if err := r.systemctl(ctx, "disable", "--", e.Name); err != nil {
					return err
				}
			}
			if active == "active" {
				return r.systemctl(ctx, "start", "--", e.Name)
			}
			return r.systemctl(ctx, "stop", "--", e.Name)
		})
	}
}

func (r *Resetter) systemctl(ctx context.Context, args ...string) error {
	out, err := r.Sys.Runner.Run(ctx, append([]string{"systemctl"}, args...)...)
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("systemctl %s: %s", strings.Join(args, " "), strings.Join(out.LastLines(3), "; "))
	}
	return nil
}
