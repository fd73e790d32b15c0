package reset

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
)

// isShim says that a process is a shim that runs from a binary of ours, and so was started by our containerd.
func (r *Resetter) isShim(pid string) bool {
	exe, err := os.Readlink(r.Sys.Path("/proc", pid, "exe"))
	exe = strings.TrimSuffix(exe, " (deleted)")
	return err == nil && filepath.Base(exe) == shimName && r.Ledger.Owns(exe)
}

// container reads from the arguments of a shim which container it is for.
func (r *Resetter) container(pid string) (namespace, id string) {
	// A process that has just ended has no arguments any more, and nothing to be ended either.
	data, _ := os.ReadFile(r.Sys.Path("/proc", pid, "cmdline"))
	args := strings.Split(string(data), "\x00")
	after := func(flag string) string {
		if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	return after("-namespace"), after("-id")
}

// foreignContainers lists what our containerd runs for others, as namespace/container.
func (r *Resetter) foreignContainers() []string {
	processes, err := filepath.Glob(r.Sys.Path("/proc", "[0-9]*"))
	if err != nil {
		return nil
	}
	var all []string
	for _, p := range processes {
		pid := filepath.Base(p)
		if !r.isShim(pid) {
			continue
		}
		if namespace, id := r.container(pid); namespace != "" && namespace != podNamespace {
			all = append(all, namespace+"/"+id)
		}
	}
	slices.Sort(all)
	return all
}

// keepRuntime leaves our containerd to the containers of others that it runs, and says so: taking it away would end them.
func (r *Resetter) keepRuntime(e ledger.Entry) bool {
	foreign := r.foreignContainers()
	r.runtimeStays = len(foreign) > 0
	if r.runtimeStays {
		r.do(e, "stop", e.Name, func() error {
			return fmt.Errorf("it runs containers of others (%s), and stays for them: end them or move them to another runtime, then reset again", strings.Join(foreign, ", "))
		})
	}
	return r.runtimeStays
}

// stays says that an entry is something that containerd, which is left to others, needs; the next reset takes it.
func (r *Resetter) stays(e ledger.Entry) bool {
	if !r.runtimeStays {
		return false
	}
	switch e.Name {
	case "/usr/local/bin/containerd", "/usr/local/bin/" + shimName, "/usr/local/bin/ctr", "/usr/local/bin/runc":
		r.failed[entryKey(e)] = true
		return true
	}
	// Without its configuration directory for CNI plugins containerd ends itself.
	bind := "/etc/systemd/system/" + api.MountUnit(containerdDir)
	for _, dir := range []string{bind, cmp.Or(r.Sys.MountSource(bind), containerdDir), "/etc/cni", "/etc/containerd", "/etc/systemd/system/" + containerdUnit, containerdDir, "/opt/containerd", containerdRun, "/run/nri"} {
		if e.Name == dir || strings.HasPrefix(e.Name, dir+"/") {
			r.failed[entryKey(e)] = true
			return true
		}
	}
	return false
}
