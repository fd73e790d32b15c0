package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewright/kubewright/pkg/standalone"
)

// routine are what controller-runtime says of each controller and watch whenever it starts, which tells nobody anything at the level info.
var routine = map[string]bool{"Starting EventSource": true, "Starting Controller": true, "Starting workers": true}

// quiet is a handler of logs that says what is routine at the level debug.
type quiet struct{ slog.Handler }

// newLogHandler makes the handler that writes JSON at a level: error, info or debug.
func newLogHandler(w io.Writer, level string) (slog.Handler, error) {
	levels := map[string]slog.Level{"error": slog.LevelError, "info": slog.LevelInfo, "debug": slog.LevelDebug}
	at, ok := levels[level]
	if !ok {
		return nil, badInput(fmt.Errorf("--log-level %q is not known", level), "write error, info or debug")
	}
	return quiet{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: at})}, nil
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if routine[r.Message] {
		if !q.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		r.Level = slog.LevelDebug
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// logToFile sends what controllers and client libraries say to a file of the state directory, away from the terminal. The returned
// function closes it.
func logToFile(dir *standalone.Dir) (logr.Logger, func() error, error) {
	path := dir.LogPath("kubewright")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return logr.Discard(), nil, fmt.Errorf("open the log: %w", err)
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(file, nil))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	return log, file.Close, nil
}
