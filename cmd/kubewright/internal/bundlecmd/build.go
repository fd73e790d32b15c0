package bundlecmd

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle/builder"
)

func newBuild() *cobra.Command {
	var o builder.Options
	var updateDebian bool
	cmd := &cobra.Command{
		Use:   "build -f DEFINITION -o FILE",
		Short: "Build a bundle from Go modules and Debian packages",
		Long: `Compile every component a definition file names from its pinned Go module, put images together and write one
file. What was built before is taken from the cache. Building twice gives the same digest.

The go command is needed, and on Debian gcc, libc6-dev, apt-get and dpkg-deb.`,
		Example: "  kubewright bundle build -f artifacts/kubernetes-1.36.yaml -o k8s-1.36.bundle",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			if updateDebian {
				file, err := builder.UpdateDebianLock(cmd.Context(), o.Definition, o.CacheDir)
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), "wrote", file)
				}
				return err
			}
			if o.Output == "" {
				return fmt.Errorf("--output is needed: the bundle file to write")
			}
			progress := &buildProgress{w: cmd.ErrOrStderr()}
			o.Progress = progress.tell
			r, err := builder.Build(cmd.Context(), o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s  %s  built in %s\n", r.Digest, r.Path, size(r.Size), r.Duration.Round(time.Second/10))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Definition, "file", "f", "", "definition file, e.g. artifacts/kubernetes-1.36.yaml")
	f.StringVarP(&o.Output, "output", "o", "", "bundle file to write")
	f.StringVar(&o.CacheDir, "cache-dir", "", "where compiled programs are kept (default: kubewright/build in the user's cache directory)")
	f.IntVar(&o.Parallel, "parallel", 0, "how many components to compile at a time (default: 1 or 2, by CPUs)")
	f.BoolVar(&o.Locked, "locked", false, "fail when a pinned Debian package is gone, instead of taking its successor")
	f.BoolVar(&updateDebian, "update-debian", false, "pin the newest Debian packages this machine's sources offer, and build nothing")
	required(cmd, "file")
	return cmd
}

// buildProgress writes one line per event.
type buildProgress struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *buildProgress) tell(e builder.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := ""
	switch e.State {
	case builder.StateStarted:
		text = "building " + e.Detail
		if e.Component == "bundle" {
			text = e.Detail
		}
	case builder.StateWorking:
		text = fmt.Sprintf("still building, %s so far", e.Duration.Round(time.Second))
	case builder.StateCached:
		text = fmt.Sprintf("%s, from the cache (%s)", e.Detail, e.Duration.Round(time.Millisecond))
	case builder.StateDone:
		text = fmt.Sprintf("%s, done in %s", e.Detail, e.Duration.Round(time.Second/10))
	case builder.StateWarning:
		text = "warning: " + e.Detail
	}
	fmt.Fprintf(p.w, "%-16s %s\n", e.Component, text) //nolint:errcheck // progress is not worth failing for
}
