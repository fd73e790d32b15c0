package provision

import (
	"context"
	"fmt"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// LogReader reads from hosts what operations did there.
type LogReader interface {
	// Logs connects to one host of the request and returns what it kept of an operation: its journal and the output of the commands
	// that ran. Tail bounds entries and lines, newest kept; 0 means everything. Nothing is changed on the host.
	Logs(ctx context.Context, request Request, host, operation string, tail int) (*hostapi.Logs, error)
}

// Logs implements LogReader.
func (r *runner) Logs(ctx context.Context, request Request, host, operation string, tail int) (*hostapi.Logs, error) {
	x, err := r.prepare(request)
	if err != nil {
		return nil, err
	}
	defer x.content.close() //nolint:contextcheck // it is closed also when the caller gave up
	defer x.sessions.closeAll()
	helper, err := x.sessions.helper(ctx, host)
	if err != nil {
		return nil, err
	}
	logs, err := helper.Logs(ctx, operation, tail)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", host, err)
	}
	return logs, nil
}
