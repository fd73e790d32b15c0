package bundlecmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/kubewright/kubewright/pkg/bundle/push"
)

func newPush() *cobra.Command {
	var o push.Options
	var expected, caFile, dockerConfig string
	var bases []string
	var signature signaturePolicy
	cmd := &cobra.Command{
		Use:   "push FILE REGISTRY[/PREFIX]",
		Short: "Copy a bundle's images, and the bundle itself, to a registry",
		Long: `Copy all images of a bundle to a registry, below their own names: registry.k8s.io/pause:3.10.2 goes to
REGISTRY/PREFIX/registry.k8s.io/pause:3.10.2. The bundle itself goes to REGISTRY/PREFIX/kubewright-bundle, with its files
and what is attached to it. What is there is not sent again: a push that was interrupted is continued by running it again,
also inside a large blob if the registry still has its beginning; where it goes on is kept in the user's cache directory.

Credentials are read from a file in the form of Docker's config.json; they are never arguments.`,
		Example: "  kubewright bundle push k8s-1.36.bundle registry.example.com:5000/k8s --ca-file site-ca.pem --docker-config config.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			o.Target = args[1]
			if caFile != "" {
				if o.CA, err = os.ReadFile(caFile); err != nil {
					return fmt.Errorf("--ca-file: %w", err)
				}
			}
			if dockerConfig != "" {
				store, err := openDockerConfig(dockerConfig)
				if err != nil {
					return err
				}
				o.Credentials = credentials.Credential(store)
			}
			b, _, err := signature.open(args[0], bases, expected)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			if cache, err := os.UserCacheDir(); err == nil { // without one, a blob that was interrupted is sent anew
				o.StateDir = filepath.Join(cache, "kubewright", "uploads")
			}
			m := newMeter(cmd.ErrOrStderr(), "pushing")
			o.Progress = m.show
			report, err := push.Push(cmd.Context(), b, o)
			m.end()
			if err != nil {
				return err
			}
			return sayPushed(cmd.OutOrStdout(), report, o.DryRun)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "only ask what is there, and say what would be sent")
	f.BoolVar(&o.StripRegistry, "strip-registry", false, "leave the registry out of the names: REGISTRY/PREFIX/pause:3.10.2")
	f.BoolVar(&o.ImagesOnly, "images-only", false, "leave out the bundle itself, with its files and what is attached to it")
	f.BoolVar(&o.PlainHTTP, "plain-http", false, "speak to the registry without TLS")
	f.IntVar(&o.Parallel, "parallel", 0, "how many requests may run at a time (default: 6)")
	f.StringVar(&caFile, "ca-file", "", "PEM file with authorities to trust besides this machine's")
	f.StringVar(&dockerConfig, "docker-config", "", "file with credentials, in the form of Docker's config.json (default: none)")
	f.StringVar(&expected, "digest", "", "the trusted digest, sha256:...")
	baseFlag(cmd, &bases)
	signature.flags(cmd)
	return cmd
}

// sayPushed writes what a push did.
func sayPushed(w io.Writer, r *push.Report, dry bool) error {
	for _, ref := range r.References {
		state := "there already"
		switch {
		case ref.New && dry:
			state = "to be pushed"
		case ref.Instead:
			state = "pushed, without the platforms that the bundle has not: the registry does not take the index as it is"
			if !ref.New {
				state = "there already, without the platforms that the bundle has not"
			}
		case ref.New:
			state = "pushed"
		}
		if _, err := fmt.Fprintf(w, "%s@%s  %s\n", ref.Name, ref.Digest, state); err != nil {
			return err
		}
	}
	sent := "sent"
	if dry {
		sent = "to send"
	}
	resumed := ""
	if r.ResumedBytes > 0 {
		resumed = fmt.Sprintf(", after %s that an interrupted push had sent", size(r.ResumedBytes))
	}
	_, err := fmt.Fprintf(w, "%d blobs, %s: %s %d, %s%s; the others are in the registry\n", r.Blobs, size(r.Bytes), sent, r.Sent, size(r.SentBytes), resumed)
	return err
}
