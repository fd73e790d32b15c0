package resource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/backup"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func checkBackup(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	b := r.Backup
	running, err := t.Runs.Running(ctx, backup.RunName)
	if err != nil {
		return finding{}, err
	}
	if running {
		return finding{state: api.Needed, why: "a backup is being taken, will attach", running: true}, nil
	}
	receipt, err := backup.ReadReceipt(t.Sys, b)
	if err != nil {
		return finding{}, err
	}
	if receipt == nil {
		return needed("it has not been taken yet")
	}
	if receipt.Recipient != b.Recipient {
		return needed("it was encrypted for another recipient")
	}
	differs, err := receipt.Differs(t.Sys, t.Stamps)
	if err != nil {
		return finding{}, err
	}
	if differs != "" {
		return needed(differs)
	}
	return done()
}

// applyBackup runs the helper itself as a detached command, so that a lost connection does not lose the work.
func applyBackup(ctx context.Context, t *Task, r *api.Resource) error {
	b := r.Backup
	dir := path.Dir(b.Path())
	if t.Ledger.Owns(b.Path()) {
		return invalid("backups cannot lie in %s: a reset would delete them with the rest of it", dir)
	}
	// On a host that is reset its backups stay, and are reported.
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeBackups, Name: dir, Created: true}); err != nil {
		return err
	}
	if err := t.parents(dir); err != nil {
		return err
	}
	if !sys.Exists(t.Sys.Path(dir)) {
		if err := t.makeDir(dir, 0o700); err != nil {
			return err
		}
	}
	c, err := backupCommand(t.Runs.Helper, b)
	if err != nil {
		return err
	}
	err = t.runCommand(ctx, r, c)
	if failed, ok := errors.AsType[*api.ResourceError](err); ok && failed.Reason == api.ReasonCommandFailed {
		failed.Message = "the backup could not be taken"
		if failed.ExitCode == backup.ExitNoSpace {
			failed.Reason = api.ReasonNoSpace
		}
	}
	return err
}

func backupCommand(helper string, b *api.Backup) (*api.Command, error) {
	spec, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the backup: %w", err)
	}
	sum := sha256.Sum256(spec)
	return &api.Command{
		Name: backup.RunName,
		Argv: []string{
			helper, "backup", "--dir=" + path.Dir(b.Path()), "--name=" + b.Name, "--recipient=" + b.Recipient,
			"--keep=" + strconv.Itoa(b.Keep),
		},
		Key:            hex.EncodeToString(sum[:]),
		TimeoutSeconds: b.TimeoutSeconds,
	}, nil
}

// CleanBackups removes the plaintext that a killed backup left, unless one is being taken.
func (h *Host) CleanBackups(ctx context.Context) error {
	running, err := h.Runs.Running(ctx, backup.RunName)
	if err != nil || running {
		return err
	}
	return backup.Clean(h.Sys)
}
