package bundlecmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

func newVerify(cache verified.Cache) *cobra.Command {
	var expected string
	var noCache bool
	var bases []string
	var signature signaturePolicy
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check every byte of a bundle, and who signed it",
		Long: `Hash everything in a bundle, and with --key see first who signed it. A file that was verified before and not written to since is
not hashed again: that is known by its digest, size, inode and time of modification, remembered in the user's cache directory.
--no-cache hashes it whatever is remembered, as after a fault of the disk, which changes no times.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			b, evidence, err := signature.open(args[0], bases, expected)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			o := verified.Options{Anew: noCache}
			meter := newMeter(cmd.ErrOrStderr(), "verifying")
			o.Expected, o.Progress = digest.Digest(expected), meter.show
			r, err := cache.Verify(cmd.Context(), b, o)
			meter.end()
			if err != nil {
				return err
			}
			if err := sayVerified(cmd, b.Path(), r); err != nil {
				return err
			}
			switch {
			case evidence != nil:
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "Signed by %s (%s) at %s; created %s.\n", evidence.KeyName, evidence.KeyID,
					evidence.SignedAt.Format(time.RFC3339), evidence.Created.Format(time.RFC3339))
			case expected == "":
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "Neither --digest nor --key was given: the bundle is intact, but whether it is one you trust was not checked.")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&expected, "digest", "", "the trusted digest, sha256:...")
	cmd.Flags().BoolVar(&noCache, "no-cache", false, "hash everything, whatever was verified before")
	baseFlag(cmd, &bases)
	signature.flags(cmd)
	return cmd
}

// sayVerified tells what was hashed, now or before.
func sayVerified(cmd *cobra.Command, path string, r *verified.Result) error {
	how := fmt.Sprintf("verified at %s and not written to since (--no-cache hashes it again)", r.VerifiedAt.Format(time.RFC3339))
	if !r.Remembered {
		rate := int64(float64(r.Bytes) / max(r.Duration.Seconds(), 1e-9))
		how = fmt.Sprintf("in %s (%s/s): all as they should be", r.Duration.Round(time.Millisecond), size(rate))
	}
	if r.NotKept != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the next verify hashes everything again: %v\n", r.NotKept) //nolint:errcheck // a warning is not worth failing for
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n%d blobs, %s, %s\n", r.Digest, path, r.Blobs, size(r.Bytes), how)
	return err
}
