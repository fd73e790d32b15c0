package box

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// job is one request under way.
type job struct {
	request fetch.Request
	part    *part
	after   func(time.Duration, func()) timer
	free    func(string) (int64, error)
	report  func(fetch.Progress)
	connect connector
	resumed int64
}

// tell says how far the part has come.
func (j *job) tell() {
	j.report(fetch.Progress{Done: j.part.size, Total: j.part.mark.Total, Resumed: j.resumed})
}

// room sees that what is still to come has room. total is zero while unknown.
func (j *job) room(total int64) error {
	if total > j.request.Limits.MaxBytes {
		return &fetch.Error{Kind: fetch.TooLarge, Message: fmt.Sprintf("the file has %d bytes and at most %d are allowed", total, j.request.Limits.MaxBytes)}
	}
	if want := j.request.Expect.Size; want > 0 && total > 0 && total != want {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("the server's file has %d bytes, expected are %d: it is another file", total, want)}
	}
	dir := filepath.Dir(j.request.Destination)
	free, err := j.free(dir)
	if err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	need := max(total-j.part.size, 0) + j.request.Limits.KeepFreeBytes
	if free < need {
		return &fetch.Error{Kind: fetch.DiskFull, Message: fmt.Sprintf("%s has room for %d bytes and %d are needed: make room; it goes on by itself", dir, free, need)}
	}
	return nil
}

// most is how many bytes the file may have, from all that is known.
func (j *job) most() int64 {
	for _, known := range []int64{j.part.mark.Total, j.request.Expect.Size} {
		if known > 0 {
			return known
		}
	}
	return j.request.Limits.MaxBytes
}
