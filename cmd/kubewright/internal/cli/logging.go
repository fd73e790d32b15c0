package cli

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewright/kubewright/pkg/standalone"
)

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
