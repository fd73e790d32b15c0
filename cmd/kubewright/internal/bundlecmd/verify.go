package bundlecmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
)

func newVerify() *cobra.Command {
	var expected string
	var bases []string
	var signature signaturePolicy
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check every byte of a bundle, and who signed it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			b, evidence, err := signature.open(args[0], bases)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			meter := newMeter(cmd.ErrOrStderr(), "verifying")
			r, err := b.Verify(cmd.Context(), bundle.VerifyOptions{Expected: digest.Digest(expected), Progress: meter.show})
			meter.end()
			if err != nil {
				return err
			}
			rate := int64(float64(r.Bytes) / max(r.Duration.Seconds(), 1e-9))
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n%d blobs, %s, in %s (%s/s): all as they should be\n",
				r.Digest, b.Path(), r.Blobs, size(r.Bytes), r.Duration.Round(time.Millisecond), size(rate))
			if err != nil {
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
	baseFlag(cmd, &bases)
	signature.flags(cmd)
	return cmd
}
