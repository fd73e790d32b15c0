package bundlecmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle/builder"
)

func newLock() *cobra.Command {
	var o builder.Options
	var from sources
	cmd := &cobra.Command{
		Use:   "lock -f DEFINITION",
		Short: "Pin what projects release at the moment, for builds",
		Long: `Fetch every download and image that a definition knows by a file of checksums or by a tag only, and write down their digests in
a file beside the definition. Builds take nothing else from then on. Look at what changed before you build, and keep the file with the
definition. What was fetched stays in the cache, where the build finds it.`,
		Example: `  kubewright bundle lock -f artifacts/release-1.36.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			if err := from.into(&o); err != nil {
				return err
			}
			progress := &buildProgress{w: cmd.ErrOrStderr()}
			o.Progress = progress.tell
			file, err := builder.MakeLock(cmd.Context(), o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "wrote", file)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Definition, "file", "f", "", "definition file, e.g. artifacts/release-1.36.yaml")
	f.StringVar(&o.LockFile, "lock-file", "", "file to write (default: beside the definition, with .lock.yaml at the end)")
	f.StringVar(&o.CacheDir, "cache-dir", "", "where content is kept (default: kubewright/build in the user's cache directory)")
	f.IntVar(&o.Downloads, "downloads", 0, "how many fetches may run at a time (default: 6)")
	from.flags(cmd)
	required(cmd, "file")
	return cmd
}
