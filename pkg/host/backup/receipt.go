package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Receipt says that a backup was taken, by this cluster on this host. A reset removes receipts and leaves the backups: they
// belong to nobody then, and no later cluster replaces or prunes them.
type Receipt struct {
	Path      string    `json:"path"`
	Size      int64     `json:"size"`
	Digest    string    `json:"digest"`
	Recipient string    `json:"recipient"`
	Taken     time.Time `json:"taken"`
	Revision  int64     `json:"revision"`
}

func receiptsDir(s *sys.System) string { return s.State("receipts", "backups") }

func receiptPath(s *sys.System, b *api.Backup) string {
	return filepath.Join(receiptsDir(s), b.Name+".json")
}

// ReadReceipt returns the receipt of the backup at b's path, nil when there is none.
func ReadReceipt(s *sys.System, b *api.Backup) (*Receipt, error) {
	r, err := readReceipt(receiptPath(s, b))
	if err != nil || r == nil || r.Path != b.Path() {
		return nil, err
	}
	return r, nil
}

func readReceipt(path string) (*Receipt, error) {
	data, err := os.ReadFile(path)
	if sys.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the receipt of a backup: %w", err)
	}
	var r Receipt
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read the receipt of a backup, %s: %w", path, err)
	}
	return &r, nil
}

func (r *Receipt) save(s *sys.System, b *api.Backup) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the receipt of a backup: %w", err)
	}
	if err := os.MkdirAll(receiptsDir(s), 0o700); err != nil {
		return fmt.Errorf("write the receipt of a backup: %w", err)
	}
	return sys.WriteFileSync(receiptPath(s, b), append(data, '\n'), 0o600)
}

// Differs says in what the file at the receipt's path is not the backup it was, "" when it is. Size and digest are those of the
// stamp cache when the file has not changed since it was last read.
func (r *Receipt) Differs(s *sys.System, stamps *stamp.Cache) (string, error) {
	fi, err := os.Lstat(s.Path(r.Path))
	switch {
	case sys.Missing(err):
		return r.Path + " is missing", nil
	case err != nil:
		return "", err
	case fi.Size() != r.Size:
		return fmt.Sprintf("%s has %d bytes instead of %d", r.Path, fi.Size(), r.Size), nil
	}
	digest, err := stamps.Digest(r.Path)
	if err != nil {
		return "", err
	}
	if digest != r.Digest {
		return r.Path + " is not what was written", nil
	}
	return "", nil
}

// prune deletes the oldest backups beyond b.Keep in b's directory: those with a receipt of this cluster, never another file.
func (t *Taker) prune(b *api.Backup) error {
	if b.Keep == 0 {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(receiptsDir(t.Sys), "*.json"))
	if err != nil {
		return fmt.Errorf("list the backups: %w", err)
	}
	type taken struct {
		receipt string
		*Receipt
	}
	var all []taken
	for _, name := range names {
		r, err := readReceipt(name)
		if err != nil {
			return err
		}
		// The one just taken stays whatever the clock says.
		if r == nil || filepath.Dir(r.Path) != filepath.Dir(b.Path()) || r.Path == b.Path() {
			continue
		}
		all = append(all, taken{receipt: name, Receipt: r})
	}
	slices.SortFunc(all, func(x, y taken) int { return y.Taken.Compare(x.Taken) })
	var errs []error
	for _, old := range all[min(b.Keep-1, len(all)):] {
		// The file goes first: a file without a receipt would stay for ever.
		err := os.Remove(t.Sys.Path(old.Path))
		if err == nil {
			t.Say("deleted " + old.Path + ", one more than are kept")
		}
		if err == nil || sys.Missing(err) {
			err = os.Remove(old.receipt)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete older backups: %w", err)
	}
	return nil
}
