package detach

import (
	"fmt"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// narrower is the first of the ways that leave work out which fits what the receipt says, nil when the whole command has to run.
func (m *Manager) narrower(c *api.Command) (*api.Narrower, error) {
	if len(c.Narrower) == 0 {
		return nil, nil
	}
	receipt, err := ReadReceipt(m.Sys, c.Name)
	if err != nil {
		return nil, fmt.Errorf("read what command %s was done for: %w", c.Name, err)
	}
	for i := range c.Narrower {
		fits, err := m.fits(&c.Narrower[i], c, receipt)
		if err != nil {
			return nil, fmt.Errorf("see what command %s left: %w", c.Name, err)
		}
		if fits {
			return &c.Narrower[i], nil
		}
	}
	return nil, nil
}

// fits says whether everything that a narrower way leaves alone is as the command left it, and should be as it is. A receipt that does not
// say what the command was done for fits nothing.
func (m *Manager) fits(n *api.Narrower, c *api.Command, receipt *Receipt) (bool, error) {
	if receipt == nil || len(receipt.Inputs) == 0 {
		return false, nil
	}
	for _, name := range n.Inputs {
		if receipt.Inputs[name] != c.Inputs[name] {
			return false, nil
		}
	}
	for _, p := range n.Outputs {
		want, ok := receipt.Outputs[p]
		if !ok {
			return false, nil
		}
		got, err := sys.FileDigest(m.Sys.Path(p))
		if sys.Missing(err) || err == nil && got != want {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
