package reset

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
)

// backups says which backups of etcd stay: they are what brings a cluster back after a reset that was a mistake. Whoever wants
// them gone deletes them knowingly. They are encrypted, so they give nothing away.
func (r *Resetter) backups(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeBackups) {
		files, err := filepath.Glob(r.Sys.Path(e.Name, "*.tar.age"))
		if err != nil || len(files) == 0 {
			continue
		}
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = filepath.Base(f)
		}
		slices.Sort(names)
		r.do(e, api.ActionKeep, e.Name+" ("+strings.Join(names, ", ")+")", func() error { return nil })
	}
}
