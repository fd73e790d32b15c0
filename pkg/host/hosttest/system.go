package hosttest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// System stands for the programs of the operating system. It keeps units and images in memory.
type System struct {
	sys *sys.System

	mu        sync.Mutex
	calls     []string
	units     map[string]*unit
	images    map[string]image
	contained map[string]container
	fail      map[string]sys.Output
	running   sync.WaitGroup
	starts    map[string]int
}

type unit struct {
	enabled, active      bool
	crashes              bool
	invocation, restarts int
}

type image struct {
	digest, labels string
}

func newSystem(s *sys.System) *System {
	return &System{sys: s, units: map[string]*unit{}, images: map[string]image{}, contained: map[string]container{}, fail: map[string]sys.Output{}, starts: map[string]int{}}
}

func (s *System) wait() { s.running.Wait() }

// Fail makes every call whose words start with prefix answer out.
func (s *System) Fail(prefix string, out sys.Output) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[prefix] = out
}

// Heal takes a Fail back.
func (s *System) Heal(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fail, prefix)
}

// Calls returns the calls whose words start with prefix.
func (s *System) Calls(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

// Starts says how often a detached command was started.
func (s *System) Starts(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts[name]
}

// Active says whether a unit runs.
func (s *System) Active(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	return u != nil && u.active
}

// SetUnit puts a unit into a state.
func (s *System) SetUnit(name string, enabled, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units[name] = &unit{enabled: enabled, active: active, invocation: 1}
}

// Crash makes a unit end by itself, and systemd begin it anew.
func (s *System) Crash(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units[name].invocation++
	s.units[name].restarts++
}

// CrashLoop makes a unit that is begun end by itself, and systemd begin it anew, between any two looks at it.
func (s *System) CrashLoop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units[name] = &unit{crashes: true}
}

// container is what containerd has of one: the name of its image, and what its task does.
type container struct{ image, status string }

// AddImage makes containerd have an image that somebody else pulled and pinned.
func (s *System) AddImage(name, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[name] = image{digest: digest, labels: "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned"}
}

// Pinned says whether an image carries the label that keeps it from garbage collection.
func (s *System) Pinned(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.images[name].labels, "io.cri-containerd.pinned=pinned")
}

// Images returns name and digest of every image.
func (s *System) Images() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for n, i := range s.images {
		all[n] = i.digest
	}
	return all
}

// Run implements sys.Runner.
func (s *System) Run(ctx context.Context, argv ...string) (sys.Output, error) {
	if ctx.Err() != nil {
		return sys.Output{}, ctx.Err()
	}
	line := strings.Join(argv, " ")
	s.mu.Lock()
	s.calls = append(s.calls, line)
	for prefix, out := range s.fail {
		if strings.HasPrefix(line, prefix) {
			s.mu.Unlock()
			return out, nil
		}
	}
	s.mu.Unlock()
	switch argv[0] {
	case "systemctl":
		return s.systemctl(argv[1:])
	case "systemd-run":
		return s.systemdRun(argv[len(argv)-1]) //nolint:contextcheck // a unit outlives the call that started it
	case "ctr":
		return s.ctr(ctx, argv[1:])
	case "modprobe":
		return sys.Output{}, os.MkdirAll(s.sys.Path("/sys/module", argv[len(argv)-1]), 0o755)
	case "journalctl":
		return sys.Output{Stdout: "it was the unit's own fault\n"}, nil
	}
	return sys.Output{}, &sys.NotFoundError{Program: argv[0]}
}

func (s *System) systemctl(args []string) (sys.Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := args[len(args)-1]
	u := s.units[name]
	if args[0] == "show" {
		return s.show(name, u, slices.Contains(args, "--value")), nil
	}
	if args[0] == "--version" {
		return sys.Output{Stdout: "systemd 252 (252.39-1~deb12u1)\n"}, nil
	}
	if args[0] == "daemon-reload" || args[0] == "reset-failed" {
		return sys.Output{}, nil
	}
	if u == nil {
		if !s.hasFile(name) {
			return sys.Output{Stderr: "Unit " + name + " not loaded.\n", ExitCode: 5}, nil
		}
		u = &unit{}
		s.units[name] = u
	}
	switch args[0] {
	case "start", "restart":
		if !u.active || args[0] == "restart" {
			u.invocation++
		}
		u.active = true
	case "stop":
		u.active = false
	case "enable":
		u.enabled = true
	case "disable":
		u.enabled = false
	}
	return sys.Output{}, nil
}

func (s *System) hasFile(name string) bool {
	return sys.Exists(s.sys.Path("/etc/systemd/system", name))
}

func (s *System) show(name string, u *unit, value bool) sys.Output {
	restarts, entered := 0, 0
	load, active, file, reload, invocation := "not-found", "inactive", "", "no", 0
	if text, err := os.ReadFile(s.sys.Path("/etc/systemd/system", name)); err == nil && strings.Contains(string(text), "ExecReload=") {
		reload = "yes"
	}
	if u != nil || s.hasFile(name) {
		load, file = "loaded", "disabled"
	}
	if u != nil {
		if u.crashes && u.active {
			u.invocation++
			u.restarts++
		}
		invocation, restarts = u.invocation, u.restarts
		if u.enabled {
			file = "enabled"
		}
		switch {
		case u.active && u.crashes:
			active = "activating"
		case u.active:
			active, entered = "active", 1
		}
	}
	if value {
		return sys.Output{Stdout: active + "\n"}
	}
	return sys.Output{Stdout: fmt.Sprintf("LoadState=%s\nActiveState=%s\nSubState=x\nUnitFileState=%s\nNeedDaemonReload=no\nCanReload=%s\nType=notify\nInvocationID=%d\nNRestarts=%d\nActiveEnterTimestampMonotonic=%d\n", load, active, file, reload, invocation, restarts, entered)}
}

// systemdRun runs the real wrapper in a goroutine, which goes on when the session ends, as a unit does.
func (s *System) systemdRun(name string) (sys.Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := detach.UnitName(name)
	if s.units[u] != nil && s.units[u].active {
		return sys.Output{Stderr: "Unit " + u + " already exists.\n", ExitCode: 1}, nil
	}
	s.starts[name]++
	s.units[u] = &unit{active: true}
	s.running.Go(func() {
		// The wrapper's outcome is in the result file.
		_, _ = detach.Wrap(s.sys, name)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.units, u)
	})
	return sys.Output{}, nil
}

func (s *System) ctr(ctx context.Context, args []string) (sys.Output, error) {
	i := slices.Index(args, "images")
	if i < 0 {
		return s.containers(args), nil
	}
	switch args[i+1] {
	case "ls":
		s.mu.Lock()
		defer s.mu.Unlock()
		out := "REF TYPE DIGEST SIZE PLATFORMS LABELS \n"
		for n, img := range s.images {
			out += n + " application/vnd.oci.image.manifest.v1+json " + img.digest + " 1.5 MiB linux/amd64 " + img.labels + " \n"
		}
		return sys.Output{Stdout: out}, nil
	case "label":
		s.mu.Lock()
		defer s.mu.Unlock()
		img := s.images[args[i+2]]
		img.labels = args[i+3]
		if strings.HasSuffix(img.labels, "=") {
			// containerd drops a label whose value is empty.
			img.labels = "-"
		}
		s.images[args[i+2]] = img
		return sys.Output{}, nil
	case "rm":
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.images, args[len(args)-1])
		return sys.Output{}, nil
	}
	return s.pull(ctx, args[i+2:])
}

// containers is what ctr says of tasks and containers. A sandbox is none that anybody asks for.
func (s *System) containers(args []string) sys.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	tasks, containers := "TASK PID STATUS\n", "CONTAINER IMAGE RUNTIME\n"
	for id, c := range s.contained {
		tasks += id + " 1 " + c.status + "\n"
		containers += id + " " + c.image + " io.containerd.runc.v2\n"
	}
	if slices.Contains(args, "tasks") {
		return sys.Output{Stdout: tasks}
	}
	return sys.Output{Stdout: containers}
}

// RunContainer makes containerd have a container of an image, by the name it knows the image by, in a state such as RUNNING or STOPPED.
func (s *System) RunContainer(id, image, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contained[id] = container{image, status}
}

// Content is where containerd keeps a blob.
func Content(digest string) string {
	return filepath.Join("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256", strings.TrimPrefix(digest, "sha256:"))
}

func exit(code int, format string, args ...any) (sys.Output, error) {
	return sys.Output{ExitCode: code, Stderr: fmt.Sprintf(format, args...) + "\n"}, nil
}

func parsePort(hosts string) (int, bool) {
	_, rest, ok := strings.Cut(hosts, "server = \"http://127.0.0.1:")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, "\"")
	n, err := strconv.Atoi(digits)
	return n, err == nil
}
