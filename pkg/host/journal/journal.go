// Package journal keeps, on the host, what each operation did there, bounded in size, so that it can be read after the
// controller is gone. It must not know what the entries mean.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// maxFile is when a journal moves its older half away; two files of this size are kept per operation.
	maxFile = 1 << 20
	// maxOperations is how many operations keep a journal: the newest ones.
	maxOperations = 50
	// maxMessage bounds one message, in bytes.
	maxMessage = 8 << 10
	suffix     = ".jsonl"
	oldSuffix  = ".old.jsonl"
)

// Journal is the journals of one host.
type Journal struct {
	dir string
	sys *sys.System
	mu  sync.Mutex
}

// New returns the journals kept on s. Nothing is created before the first Append.
func New(s *sys.System) *Journal { return &Journal{dir: s.State("journal"), sys: s} }

// Append adds an entry to the journal of an operation. Errors of the disk are returned; what is being done need not
// stop for them.
func (j *Journal) Append(operation string, e api.JournalEntry) error {
	if err := api.ValidateOperation(operation); err != nil {
		return err
	}
	e.Time = j.sys.Now().UTC()
	if len(e.Message) > maxMessage {
		e.Message = e.Message[:maxMessage] + "..."
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	path := filepath.Join(j.dir, operation+suffix)
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(j.dir, 0o700); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.prune(maxOperations - 1)
	case err == nil && fi.Size() > maxFile:
		if err := os.Rename(path, filepath.Join(j.dir, operation+oldSuffix)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Read returns the newest tail entries of an operation, oldest first (0: all that is kept). An unknown operation has none.
func (j *Journal) Read(operation string, tail int) ([]api.JournalEntry, error) {
	if err := api.ValidateOperation(operation); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var entries []api.JournalEntry
	for _, s := range []string{oldSuffix, suffix} {
		data, err := os.ReadFile(filepath.Join(j.dir, operation+s))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		entries = append(entries, parse(data)...)
	}
	if tail > 0 && len(entries) > tail {
		entries = entries[len(entries)-tail:]
	}
	return entries, nil
}

// parse skips lines that a crash cut off.
func parse(data []byte) []api.JournalEntry {
	var entries []api.JournalEntry
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, maxFile)
	for sc.Scan() {
		var e api.JournalEntry
		if json.Unmarshal(sc.Bytes(), &e) == nil {
			entries = append(entries, e)
		}
	}
	return entries
}

// Operations lists the operations that left a journal, newest first.
func (j *Journal) Operations() ([]api.OperationInfo, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.list()
}

func (j *Journal) list() ([]api.OperationInfo, error) {
	files, err := os.ReadDir(j.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list journals: %w", err)
	}
	var infos []api.OperationInfo
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok || strings.HasSuffix(f.Name(), oldSuffix) {
			continue
		}
		fi, err := f.Info()
		if err != nil {
			continue
		}
		info := api.OperationInfo{Operation: name, Last: fi.ModTime().UTC(), Bytes: fi.Size()}
		info.First = firstTime(filepath.Join(j.dir, name+suffix))
		if old, err := os.Stat(filepath.Join(j.dir, name+oldSuffix)); err == nil {
			info.Bytes += old.Size()
			info.First = firstTime(filepath.Join(j.dir, name+oldSuffix))
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b api.OperationInfo) int { return b.Last.Compare(a.Last) })
	return infos, nil
}

func firstTime(path string) (t time.Time) {
	f, err := os.Open(path)
	if err != nil {
		return t
	}
	defer func() { _ = f.Close() }()
	var e api.JournalEntry
	line, _ := bufio.NewReader(f).ReadBytes('\n')
	if json.Unmarshal(line, &e) == nil {
		return e.Time
	}
	return t
}

// prune keeps the newest journals.
func (j *Journal) prune(keep int) {
	infos, err := j.list()
	if err != nil || len(infos) <= keep {
		return
	}
	for _, info := range infos[keep:] {
		// A journal that cannot be removed now is tried again with the next operation.
		_ = os.Remove(filepath.Join(j.dir, info.Operation+suffix))
		_ = os.Remove(filepath.Join(j.dir, info.Operation+oldSuffix))
	}
}
