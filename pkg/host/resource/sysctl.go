package resource

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// SysctlPath is the file of a kernel parameter. As with sysctl(8), a key with a slash is taken as it is, so that names
// with dots can be written.
func SysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return "/proc/sys/" + key
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func checkSysctl(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	s := r.Sysctl
	data, err := os.ReadFile(t.Sys.Path(SysctlPath(s.Key)))
	if sys.Missing(err) {
		return needed(s.Key + " is not there: the kernel lacks it or its module is not loaded")
	}
	if err != nil {
		return finding{}, err
	}
	now := words(string(data))
	switch {
	case s.SatisfiedBy(now):
		return done()
	case s.AtLeast:
		return needed(fmt.Sprintf("%s is %q, less than %q", s.Key, now, s.Value))
	}
	return needed(fmt.Sprintf("%s is %q instead of %q", s.Key, now, words(s.Value)))
}

func applySysctl(_ context.Context, t *Task, r *api.Resource) error {
	s := r.Sysctl
	p := t.Sys.Path(SysctlPath(s.Key))
	before, err := os.ReadFile(p)
	if err != nil {
		return fmt.Errorf("kernel parameter %s: %w", s.Key, err)
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeSysctl, Name: s.Key, Previous: words(string(before))}); err != nil {
		return err
	}
	return WriteSysctl(p, s.Value)
}

// WriteSysctl writes a kernel parameter, which must exist.
func WriteSysctl(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("set kernel parameter: %w", err)
	}
	_, err = f.WriteString(value + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("set kernel parameter: %w", err)
	}
	return nil
}
