package bundlecmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// baseFlag is --base, for commands that take a delta.
func baseFlag(cmd *cobra.Command, bases *[]string) {
	cmd.Flags().StringArrayVar(bases, "base", nil, "bundle that has what a delta lacks; may be given several times")
}

func newDiff() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "diff BASE FILE -o FILE",
		Short: "Write what a bundle has and another one has not",
		Long: `Write a delta: the second bundle without the content that the first one has. It has the second one's digest, and names the
first as its base. Together they are as good as the second bundle: "verify", "inspect" and "apply" take the base with --base.`,
		Example: "  kubewright bundle diff k8s-1.35.bundle k8s-1.36.bundle -o to-1.36.delta",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			both, err := openAll(args)
			defer func() { err = errors.Join(err, closeAll(both)) }()
			if err != nil {
				return err
			}
			if err := bundle.Diff(cmd.Context(), output, both[0], both[1]); err != nil {
				return err
			}
			return told(cmd, output, args[0])
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write the delta to")
	required(cmd, "output")
	return cmd
}

func newApply() *cobra.Command {
	var output string
	var bases []string
	cmd := &cobra.Command{
		Use:     "apply DELTA --base FILE -o FILE",
		Short:   "Make the complete bundle of a delta and its base",
		Long:    "Write the bundle that a delta stands for, byte for byte as it was when the delta was made.",
		Example: "  kubewright bundle apply to-1.36.delta --base k8s-1.35.bundle -o k8s-1.36.bundle",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			set, err := bundle.OpenSet(args[0], bases...)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, set.Close()) }()
			if set.Base() == nil {
				return fmt.Errorf("%s is no delta: it is complete by itself", args[0])
			}
			if err := bundle.Apply(cmd.Context(), output, set); err != nil {
				return err
			}
			return told(cmd, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "bundle file to write")
	baseFlag(cmd, &bases)
	required(cmd, "output", "base")
	return cmd
}
