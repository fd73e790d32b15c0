package cli

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/progress"
)

// warnings collects what a user should know beside the result of a command that shows no progress.
type warnings struct {
	mu    sync.Mutex
	lines []string
}

func (w *warnings) add(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

// Emit implements engine.Sink: what a step notes although it is done is not part of a plan.
func (w *warnings) Emit(e engine.Event) {
	if e.State == engine.StateDone && e.Message != "" {
		w.add("host " + e.Host + ": " + e.Step + ": " + e.Message)
	}
}

// write writes them in one order, whichever host was faster.
func (w *warnings) write(to io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.lines)
	for _, line := range w.lines {
		if _, err := fmt.Fprintf(to, "Warning: %s\n", progress.Clean(line)); err != nil {
			return err
		}
	}
	return nil
}
