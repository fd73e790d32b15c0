package detach

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// keep reads the files that are put back when the command is stopped because of what they bring about. One that is not there is not put back.
func (m *Manager) keep(paths []string) (map[string][]byte, error) {
	kept := map[string][]byte{}
	for _, p := range paths {
		content, err := os.ReadFile(m.Sys.Path(p))
		if sys.Missing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s before the start: %w", p, err)
		}
		kept[p] = content
	}
	return kept, nil
}

// restore writes kept files again that are other than they were; whether there were any is the first result.
func (m *Manager) restore(kept map[string][]byte) (bool, error) {
	restored := false
	var errs []error
	for p, content := range kept {
		now, err := os.ReadFile(m.Sys.Path(p))
		if err == nil && bytes.Equal(now, content) {
			continue
		}
		// What kubeadm writes (staticpodutil.WriteStaticPodToDisk) only root may read.
		if err := sys.WriteFileSync(m.Sys.Path(p), content, 0o600); err != nil {
			errs = append(errs, err)
			continue
		}
		restored = true
	}
	return restored, errors.Join(errs...)
}
