// Package resource knows, for every kind of resource, how to check whether a host has it and how to make it so. One
// file per kind. It must not know why a resource is wanted, nor who asks.
package resource

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/fetch"
	"github.com/kubewright/kubewright/pkg/host/journal"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Host is what checking and applying work with, for as long as the helper lives.
type Host struct {
	Sys     *sys.System
	Ledger  *ledger.Ledger
	Journal *journal.Journal
	Stamps  *stamp.Cache
	Runs    *detach.Manager
	Fetch   *fetch.Fetcher
}

// Task is one request at work. It keeps what is asked of the host once per request.
type Task struct {
	*Host
	Operation string
	Step      string
	// Way says how blobs may come.
	Way fetch.Way
	// Direct and Tunnel count blob bytes received.
	Direct, Tunnel atomic.Int64

	emitMu sync.Mutex
	emit   func(api.Progress)

	imagesMu sync.Mutex
	images   *imageList
}

// NewTask prepares a request; emit (may be nil) is called by one goroutine at a time.
func (h *Host) NewTask(operation, step string, way fetch.Way, emit func(api.Progress)) *Task {
	return &Task{Host: h, Operation: operation, Step: step, Way: way, emit: emit}
}

func (t *Task) progress(r *api.Resource, p api.Progress) {
	if t.emit == nil {
		return
	}
	p.Resource, p.Kind = r.ID, r.Kind()
	t.emitMu.Lock()
	defer t.emitMu.Unlock()
	t.emit(p)
}

func (t *Task) say(r *api.Resource, message string) { t.progress(r, api.Progress{Message: message}) }

// finding is what a check found, before it is put into a verdict.
type finding struct {
	state   api.State
	why     string
	diff    string
	running bool
	unit    *api.UnitRun
}

func done() (finding, error)             { return finding{state: api.Done}, nil }
func needed(why string) (finding, error) { return finding{state: api.Needed, why: why}, nil }

// kind is how resources of one kind are handled. apply is only called when check found Needed.
type kind struct {
	check func(context.Context, *Task, *api.Resource) (finding, error)
	apply func(context.Context, *Task, *api.Resource) error
	// parallel is how many neighbours of this kind are applied at once; 0 means one after another.
	parallel int
	// after is called when a group of neighbours has been applied.
	after func(context.Context, *Task, []*api.Resource)
}

func handler(k api.Kind) kind {
	switch k {
	case api.KindFile:
		return kind{check: checkFile, apply: applyFile}
	case api.KindDir:
		return kind{check: checkDir, apply: applyDir}
	case api.KindSymlink:
		return kind{check: checkSymlink, apply: applySymlink}
	case api.KindAbsent:
		return kind{check: checkAbsent, apply: applyAbsent}
	case api.KindBlob:
		return kind{check: checkBlob, apply: applyBlob, parallel: 4}
	case api.KindModule:
		return kind{check: checkModule, apply: applyModule}
	case api.KindSysctl:
		return kind{check: checkSysctl, apply: applySysctl}
	case api.KindUnit:
		return kind{check: checkUnit, apply: applyUnit}
	case api.KindImage:
		return kind{check: checkImage, apply: applyImage, parallel: 3, after: pruneStaged}
	case api.KindImagePins:
		return kind{check: checkImagePins, apply: applyImagePins}
	case api.KindBackup:
		return kind{check: checkBackup, apply: applyBackup}
	case api.KindCommand:
		return kind{check: checkCommand, apply: applyCommand}
	}
	return kind{check: checkProbe, apply: applyProbe}
}
