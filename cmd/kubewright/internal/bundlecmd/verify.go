package bundlecmd

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/pkg/bundle"
)

func newVerify() *cobra.Command {
	var expected string
	var bases []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check every byte of a bundle",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			b, err := bundle.OpenSet(args[0], bases...)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			meter := newMeter(cmd.ErrOrStderr())
			r, err := b.Verify(cmd.Context(), bundle.VerifyOptions{Expected: digest.Digest(expected), Progress: meter.show})
			meter.end()
			if err != nil {
				return err
			}
			rate := int64(float64(r.Bytes) / max(r.Duration.Seconds(), 1e-9))
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n%d blobs, %s, in %s (%s/s): all as they should be\n",
				r.Digest, b.Path(), r.Blobs, size(r.Bytes), r.Duration.Round(time.Millisecond), size(rate))
			if err == nil && expected == "" {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "No --digest was given: the bundle is intact, but whether it is the one you trust was not checked.")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&expected, "digest", "", "the trusted digest, sha256:...")
	baseFlag(cmd, &bases)
	return cmd
}

// meter shows a percentage on a terminal, and nothing elsewhere.
type meter struct {
	mu   sync.Mutex
	w    io.Writer
	tty  bool
	last int64
}

func newMeter(w io.Writer) *meter {
	m := &meter{w: w, last: -1}
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		m.tty = term.IsTerminal(int(f.Fd()))
	}
	return m
}

func (m *meter) show(done, total int64) {
	if !m.tty || total == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if percent := done * 100 / total; percent > m.last {
		m.last = percent
		fmt.Fprintf(m.w, "\rverifying %3d%%", percent) //nolint:errcheck // progress is not worth failing for
	}
}

func (m *meter) end() {
	if m.tty && m.last >= 0 {
		fmt.Fprint(m.w, "\r\x1b[K") //nolint:errcheck // progress is not worth failing for
	}
}
