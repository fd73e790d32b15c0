package detach

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Request is what the wrapper reads to know what to run. It holds no secret: those lie in files below /run.
type Request struct {
	Name      string            `json:"name"`
	Operation string            `json:"operation"`
	Key       string            `json:"key"`
	Inputs    map[string]string `json:"inputs,omitempty"`
	Argv      []string          `json:"argv"`
	Env       map[string]string `json:"env,omitempty"`
	// SecretFiles are masked in the output.
	SecretFiles []string `json:"secretFiles,omitempty"`
	// Creates must exist when the program ended with 0, or there is no receipt.
	Creates []string `json:"creates,omitempty"`
	// Outputs are files whose digests the receipt keeps; they must exist as well.
	Outputs []string `json:"outputs,omitempty"`
	// Covers are further receipts to leave, Removes the files to put aside before the start.
	Covers  []api.Cover `json:"covers,omitempty"`
	Removes []string    `json:"removes,omitempty"`
	// Scratch is as in api.Command.
	Scratch []string `json:"scratch,omitempty"`
	// Discards are as in api.Command.
	Discards []string `json:"discards,omitempty"`
	// Watch is as in api.Command.
	Watch   *api.Watch    `json:"watch,omitempty"`
	Timeout time.Duration `json:"timeout"`
}

// Result is how a run ended.
type Result struct {
	Operation string    `json:"operation"`
	Key       string    `json:"key"`
	ExitCode  int       `json:"exitCode"`
	TimedOut  bool      `json:"timedOut,omitempty"`
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
	// Error says what went wrong besides the exit code: the program could not be started, or its output not be kept.
	Error string `json:"error,omitempty"`
	// Ended is what the program was stopped for because it would have waited for it in vain.
	Ended *Ended `json:"ended,omitempty"`
}

// Receipt says that a command with this key was done.
type Receipt struct {
	Key       string    `json:"key"`
	Operation string    `json:"operation"`
	Finished  time.Time `json:"finished"`
	// Inputs are as in api.Command.
	Inputs map[string]string `json:"inputs,omitempty"`
	// Outputs are the digests of what the command left, by path. Receipts of older helpers have none.
	Outputs map[string]string `json:"outputs,omitempty"`
}

const (
	requestFile = "request.json"
	resultFile  = "result.json"
	lockFile    = "lock"
	outputFile  = "output"
	oldOutput   = "output.old"
)

// ReceiptPath is where the receipt of a command lies.
func ReceiptPath(s *sys.System, name string) string { return s.State("receipts", name+".json") }

// ReadReceipt returns nil when there is none.
func ReadReceipt(s *sys.System, name string) (*Receipt, error) {
	return readJSON[Receipt](ReceiptPath(s, name))
}

// Receipts lists the commands that left a receipt, and the keys of those receipts that can be read.
func Receipts(s *sys.System) (names []string, keys map[string]string) {
	entries, err := os.ReadDir(s.State("receipts"))
	if err != nil {
		return nil, nil
	}
	keys = map[string]string{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		names = append(names, name)
		// One that cannot be read has no key, and so counts for nothing.
		if r, err := ReadReceipt(s, name); err == nil && r != nil {
			keys[name] = r.Key
		}
	}
	return names, keys
}

func (m *Manager) runPath(name, file string) string { return m.Sys.State("runs", name, file) }

func readJSON[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of a command: %w", err)
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		// Written in one step, so this is damage of the disk: as good as no record.
		return nil, nil //nolint:nilerr // the command runs again, as without a record
	}
	return &v, nil
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return sys.WriteFileSync(path, append(data, '\n'), 0o600)
}
