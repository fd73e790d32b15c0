package detach

import (
	"fmt"
	"os"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// leaveReceipts writes the receipt of a command that ended well, and those of the commands it covers. Without a file that
// it should have left there is no receipt: the check after the run finds that out and says so.
func (m *Manager) leaveReceipts(req *Request, result Result) error {
	for _, p := range req.Creates {
		if !sys.Exists(m.Sys.Path(p)) {
			return nil
		}
	}
	own, ok, err := m.outputs(req.Outputs)
	if err != nil || !ok {
		return err
	}
	if err := os.MkdirAll(m.Sys.State("receipts"), 0o700); err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	// The command's own comes last: where it is, those of the covered commands are.
	for _, c := range req.Covers {
		covered, ok, err := m.outputs(c.Outputs)
		if err != nil {
			return err
		}
		if !ok {
			// Not done by the way after all; the command itself will do it.
			continue
		}
		if err := writeJSON(ReceiptPath(m.Sys, c.Name), Receipt{Key: c.Key, Operation: req.Operation, Finished: result.Finished, Inputs: c.Inputs, Outputs: covered}); err != nil {
			return err
		}
	}
	return writeJSON(ReceiptPath(m.Sys, req.Name), Receipt{Key: req.Key, Operation: req.Operation, Finished: result.Finished, Inputs: req.Inputs, Outputs: own})
}

// outputs are the digests of files; ok is false when one is missing.
func (m *Manager) outputs(paths []string) (digests map[string]string, ok bool, err error) {
	digests = make(map[string]string, len(paths))
	for _, p := range paths {
		d, err := sys.FileDigest(m.Sys.Path(p))
		if sys.Missing(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("write receipt: %w", err)
		}
		digests[p] = d
	}
	return digests, true, nil
}
