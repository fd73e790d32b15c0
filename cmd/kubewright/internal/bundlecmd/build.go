package bundlecmd

import (
	"errors"
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
	var from sources
	cmd := &cobra.Command{
		Use:   "build -f DEFINITION -o FILE",
		Short: "Build a bundle from source, or from what projects release",
		Long: `Compile every component a definition file names from its pinned Go module, put images together, take the files and images
of others that it names, and write one file. What was built or fetched before is taken from the cache; a download that
was interrupted goes on. Building twice gives the same digest.

Only what is pinned by digest is taken: Debian packages by the files that the definition names (--update-debian pins the newest ones), downloads and
images by the definition or by its lock, which "kubewright bundle lock" makes. With --locked=false the build takes whatever is published at the moment.

To compile, the go command is needed, and on Debian gcc, libc6-dev, apt-get and dpkg-deb; to fetch, kubewright-fetch.`,
		Example: `  kubewright bundle build -f artifacts/kubernetes-1.36.yaml -o k8s-1.36.bundle     # all from source
  kubewright bundle build -f artifacts/release-1.36.yaml -o k8s-1.36.bundle \
    --mirror https://dl.k8s.io=https://mirror.example.com/k8s --mirror registry.k8s.io=mirror.example.com/k8s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			if updateDebian {
				files, err := builder.UpdateDebianLock(cmd.Context(), o.Definition, o.CacheDir)
				for _, file := range files {
					_, told := fmt.Fprintln(cmd.OutOrStdout(), "wrote", file)
					err = errors.Join(err, told)
				}
				return err
			}
			if o.Output == "" {
				return fmt.Errorf("--output is needed: the bundle file to write")
			}
			if err := from.into(&o); err != nil {
				return err
			}
			progress := &buildProgress{w: cmd.ErrOrStderr()}
			o.Progress = progress.tell
			r, err := builder.Build(cmd.Context(), o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s  %s  built in %s\n", r.Digest, r.Path, size(r.Size), r.Duration.Round(time.Second/10))
			for _, l := range r.Lacks {
				_, told := fmt.Fprintf(cmd.OutOrStdout(), "%s lacks %s: %s\n", l.Platform, l.What, l.Why)
				err = errors.Join(err, told)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Definition, "file", "f", "", "definition file, e.g. artifacts/kubernetes-1.36.yaml")
	f.StringVarP(&o.Output, "output", "o", "", "bundle file to write")
	f.StringVar(&o.CacheDir, "cache-dir", "", "where compiled programs are kept (default: kubewright/build in the user's cache directory)")
	f.IntVar(&o.Parallel, "parallel", 0, "how many components to compile at a time (default: 1 or 2, by CPUs)")
	f.IntVar(&o.Downloads, "downloads", 0, "how many fetches may run at a time (default: 6)")
	f.BoolVar(&o.Locked, "locked", true, "fail when a pinned Debian package is gone, instead of taking its successor, and when a download or image is not pinned by digest")
	f.StringVar(&o.LockFile, "lock-file", "", "file in which bundle lock has pinned downloads and images (default: beside the definition, with .lock.yaml at the end)")
	f.BoolVar(&updateDebian, "update-debian", false, "pin the newest Debian packages this machine's sources offer, and build nothing")
	from.flags(cmd)
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
	fmt.Fprintf(p.w, "%-16s %s\n", e.Component, describe(e)) //nolint:errcheck // progress is not worth failing for
}

// describe says in words what an event tells.
func describe(e builder.Event) string {
	fetched := e.Done > 0 || e.Total > 0
	text := ""
	switch e.State {
	case builder.StateStarted, builder.StateWorking:
		if fetched {
			return fetching(e)
		}
		if e.State == builder.StateWorking {
			return fmt.Sprintf("still building, %s so far", e.Duration.Round(time.Second))
		}
		text = "building " + e.Detail
		if e.Component == "bundle" {
			text = e.Detail
		}
	case builder.StateCached:
		text = fmt.Sprintf("%s, from the cache (%s)", e.Detail, e.Duration.Round(time.Millisecond))
	case builder.StateDone:
		text = fmt.Sprintf("%s, done in %s", e.Detail, e.Duration.Round(time.Second/10))
		if fetched {
			text = fmt.Sprintf("%s, %s in %s", e.Detail, size(e.Done), e.Duration.Round(time.Second/10))
		}
	case builder.StateWarning:
		text = "warning: " + e.Detail
	}
	return text
}

// fetching says how far a download is.
func fetching(e builder.Event) string {
	text := size(e.Done)
	if e.Total > 0 {
		text = fmt.Sprintf("%d%% of %s", e.Done*100/e.Total, size(e.Total))
	}
	if e.Resumed > 0 {
		text += fmt.Sprintf(", of which %s had come before", size(e.Resumed))
	}
	return "fetching, " + text
}
