package detach

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/staticpod"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// watchPoll is how often what a command waits for is looked at.
	watchPoll = 2 * time.Second
	// unitEndings is how often a unit may end by itself while a command that needs it runs.
	unitEndings = 3
	// unitLines is how much of its journal is kept of a unit that ends again and again.
	unitLines = 8
)

// Ended is what ended again and again while a command waited for it.
type Ended struct {
	// Message says what it is and gives its last words.
	Message string `json:"message"`
	// Said are the last lines of it, redacted.
	Said []string `json:"said,omitempty"`
	// Restored says that the files of api.Watch.Restores were put back.
	Restored bool `json:"restored,omitempty"`
}

// watcher looks at what a command waits for.
type watcher struct {
	sys      *sys.System
	units    []api.WatchedUnit
	pods     *staticpod.Watch
	restarts map[string]int
}

func newWatcher(s *sys.System, w *api.Watch) *watcher {
	return &watcher{sys: s, units: w.Units, pods: staticpod.NewWatch(s, w.StaticPods), restarts: map[string]int{}}
}

// until calls found, once, when something ends again and again; it returns when it has, or when ctx ends.
func (w *watcher) until(ctx context.Context, found func(*Ended)) {
	tick := time.NewTicker(watchPoll)
	defer tick.Stop()
	for {
		if ended := w.look(ctx); ended != nil && ctx.Err() == nil {
			found(ended)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *watcher) look(ctx context.Context) *Ended {
	for _, u := range w.units {
		if u.Once != "" && !sys.Exists(w.sys.Path(u.Once)) {
			continue
		}
		now, ok := w.restartsOf(ctx, u.Name)
		before, seen := w.restarts[u.Name]
		if !ok {
			continue
		}
		if !seen || now < before {
			// Whoever starts a unit sets the count to 0.
			w.restarts[u.Name] = now
			continue
		}
		if now-before >= unitEndings {
			said := w.journal(ctx, u.Name)
			return &Ended{Message: fmt.Sprintf("unit %s ends again and again: %s", u.Name, staticpod.LastWords(said)), Said: said}
		}
	}
	if pod, said := w.pods.Ends(); pod != "" {
		return &Ended{Message: staticpod.Describe(pod, said), Said: said}
	}
	return nil
}

// restartsOf is how often systemd has begun a unit again because it ended; not ok where systemd does not say.
func (w *watcher) restartsOf(ctx context.Context, name string) (n int, ok bool) {
	out, err := w.sys.Runner.Run(ctx, "systemctl", "show", "--property=NRestarts", "--", name)
	if err != nil || out.ExitCode != 0 {
		return 0, false
	}
	for line := range strings.Lines(out.Stdout) {
		if v, found := strings.CutPrefix(strings.TrimSpace(line), "NRestarts="); found {
			n, err = strconv.Atoi(v)
			return n, err == nil
		}
	}
	return 0, false
}

// journal is the end of what a unit itself said; what systemd says of it tells no cause.
func (w *watcher) journal(ctx context.Context, name string) []string {
	out, err := w.sys.Runner.Run(ctx, "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines="+strconv.Itoa(unitLines), "_SYSTEMD_UNIT="+name)
	if err != nil || out.ExitCode != 0 {
		return nil
	}
	return redact.New().Lines(sys.LastLines(out.Stdout, unitLines))
}
