// Package bundlecmd is `kubewright bundle`: it builds, shows, signs, verifies, carries, pushes and serves bundles. It turns flags into calls and results
// into text; everything else is the business of the bundle and builder packages.
package bundlecmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

// New returns the bundle command with its subcommands.
func New() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Build, sign, verify, carry and serve offline bundles",
		Long: `A bundle is one file with everything a Kubernetes version needs: binaries, images, manifests and the host
helper, each a sha256 blob, and one digest over all of them.`,
	}
	cmd.AddCommand(newBuild(), newLock(), newVerify(verified.ForUser()), newInspect(), newMerge(), newDiff(), newApply(),
		newCopy(), newSplit(), newJoin(), newKeygen(), newSign(), newPush(), newServe(verified.ForUser()))
	return cmd
}

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1 << 10
	v, suffix := float64(n), "B"
	for _, s := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < unit {
			break
		}
		v, suffix = v/unit, s
	}
	if suffix == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, suffix)
}
