package bundlecmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/evidence"
)

func newMerge() *cobra.Command {
	var output string
	var o bundle.MergeOptions
	cmd := &cobra.Command{
		Use:   "merge FILE... -o FILE",
		Short: "Make one bundle of several",
		Long: `Write one bundle with the Kubernetes versions and platforms of all the files, which may be what one upgrade or one site
needs. What they share is in it once. The order of the files does not matter. The new bundle has a digest of its own.`,
		Example: "  kubewright bundle merge k8s-1.35.bundle k8s-1.36.bundle -o k8s.bundle",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			inputs, err := openAll(args)
			defer func() { err = errors.Join(err, closeAll(inputs)) }()
			if err != nil {
				return err
			}
			o.Attach = evidence.ForMerge(inputs)
			if _, err := bundle.Merge(cmd.Context(), output, inputs, o); err != nil {
				return err
			}
			return told(cmd, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "bundle file to write")
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the new bundle (default: the names of all files joined by +)")
	required(cmd, "output")
	return cmd
}

// openAll opens bundles; what it returns must be closed also after an error.
func openAll(paths []string) ([]*bundle.Bundle, error) {
	var out []*bundle.Bundle
	for _, path := range paths {
		b, err := bundle.Open(path)
		if err != nil {
			return out, err
		}
		out = append(out, b)
	}
	return out, nil
}

func closeAll(bundles []*bundle.Bundle) error {
	var errs []error
	for _, b := range bundles {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// told says what was written; a delta is read together with its base.
func told(cmd *cobra.Command, path string, bases ...string) (err error) {
	b, err := bundle.OpenSet(path, bases...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var versions []string
	for _, r := range b.Config().Releases {
		versions = append(versions, fmt.Sprintf("%s for %s", r.KubernetesVersion, strings.Join(r.Platforms, " and ")))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s  %s  Kubernetes %s\n", b.Digest(), path, size(b.Size()), strings.Join(versions, ", "))
	return err
}

// required marks flags that must be given.
func required(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // it fails only for a flag that does not exist
		}
	}
}
