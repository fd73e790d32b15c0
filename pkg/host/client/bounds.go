package client

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// What answers may have at most, by what was asked. A helper stays well below: its limits stand beside what they are for.
var (
	// factsLimits leave room for some thousand network interfaces, listening sockets and paths.
	factsLimits = inbound.Limits{Bytes: 4 << 20, Values: 128 << 10}
	// replyLimits are for an error, with the last lines of a command's output (resource.commandLines), and for short answers.
	replyLimits = inbound.Limits{Bytes: 1 << 20, Values: 4 << 10}
	// verdictLimits are for what is said of one resource: a diff has at most 60 lines of 500 bytes (resource.unifiedDiff), and few resources have
	// one that long.
	verdictLimits = inbound.Limits{Bytes: 16 << 10, Values: 128}
	// resetLimits are for a report on everything that the ledger of a host holds.
	resetLimits = inbound.Limits{Bytes: 8 << 20, Values: 256 << 10}
	// operationsLimits are for the 50 journals that a host keeps (journal.maxOperations).
	operationsLimits = inbound.Limits{Bytes: 256 << 10, Values: 4 << 10}
	// logsLimits are for the journal of an operation, 2 files of 1 MiB (journal.maxFile), and the output of its commands, 2 files of 512 KiB
	// each (detach.maxOutputFile), of which an operation runs a dozen on a host.
	logsLimits = inbound.Limits{Bytes: 32 << 20, Values: 1 << 20}
	// fileLimits are for a file of 1 MiB (server.maxPublicFile) in base64.
	fileLimits = inbound.Limits{Bytes: 3 << 20, Values: 16}
)

const (
	// maxHeader bounds the headers of an answer, and of a request for a blob.
	maxHeader = 64 << 10
	// maxStreams is how many streams a helper may have open towards this side. It fetches 4 blobs at a time, and containerd a few layers of 3
	// images. Each may hold a window of 256 KiB.
	maxStreams = 128
	// streamBurst and streamRate bound a stream of events as a whole: so many bytes at once, and so many per second from then on. A command that
	// prints without end is read no faster, and its host made to wait. Bytes of content do not come this way.
	streamBurst = 8 << 20
	streamRate  = 1 << 20
)

// verdictsLimits bound verdicts on so many resources.
func verdictsLimits(resources int) inbound.Limits {
	return replyLimits.Plus(verdictLimits.Times(resources))
}

// CountError says that a host did not answer with one verdict for each resource.
type CountError struct {
	// Resources were asked about, Verdicts came.
	Resources, Verdicts int
}

func (e *CountError) Error() string {
	return fmt.Sprintf("the helper answered %d verdicts to %d resources: what answers there is not the helper", e.Verdicts, e.Resources)
}

// each returns the verdicts if there is one for each resource.
func each(verdicts []api.Verdict, resources []api.Resource) ([]api.Verdict, error) {
	if len(verdicts) != len(resources) {
		return nil, &CountError{Resources: len(resources), Verdicts: len(verdicts)}
	}
	return verdicts, nil
}

// paced reads no faster than a stream of events may come.
type paced struct {
	ctx   context.Context //nolint:containedctx // a Reader is given none
	from  io.Reader
	began time.Time
	read  int64
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	if wait := early(p.read, time.Since(p.began)); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		}
	}
	n, err := p.from.Read(b)
	p.read += int64(n)
	return n, err
}

// early is how much sooner so many bytes have come than they may.
func early(read int64, after time.Duration) time.Duration {
	return time.Duration(read-streamBurst)*time.Second/streamRate - after
}
