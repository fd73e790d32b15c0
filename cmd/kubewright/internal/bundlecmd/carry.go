package bundlecmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubewright/kubewright/pkg/bundle"
)

func newCopy() *cobra.Command {
	return &cobra.Command{
		Use:   "copy FILE TO",
		Short: "Copy a bundle and check it on the way",
		Long: `Copy a bundle or delta and hash all content on the way. A copy that was interrupted is continued by running it again: what is
there is hashed, and the rest is copied. The file appears under its name when it is whole and right.`,
		Example: "  kubewright bundle copy /media/usb/k8s.bundle /var/lib/kubewright/",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			to := args[1]
			if st, err := os.Stat(to); err == nil && st.IsDir() {
				to = filepath.Join(to, filepath.Base(args[0]))
			}
			return withMeter(cmd, "copying", func(o bundle.CopyOptions) error {
				return bundle.Copy(cmd.Context(), to, args[0], o)
			})
		},
	}
}

func newSplit() *cobra.Command {
	var text, dir string
	cmd := &cobra.Command{
		Use:   "split FILE --size SIZE",
		Short: "Cut a bundle into parts that fit on media",
		Long: `Write FILE.001, FILE.002 ... and FILE.parts.json, the list of them, beside the file or into --dir, which is made if it is missing. Running it again leaves
parts that are right alone.`,
		Example: "  kubewright bundle split k8s.bundle --size 4G --dir /media/usb   # 4G is below what FAT32 can hold, 4Gi is not",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			q, err := resource.ParseQuantity(text)
			if err != nil || q.Value() <= 0 {
				return fmt.Errorf("--size %q is no size such as 4G (4,000,000,000 bytes) or 650Mi", text)
			}
			if dir == "" {
				dir = filepath.Dir(args[0])
			}
			list, err := bundle.Split(cmd.Context(), args[0], dir, q.Value())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nput together again by: kubewright bundle join %s -o %s\n", list, filepath.Base(list), filepath.Base(args[0]))
			return err
		},
	}
	cmd.Flags().StringVar(&text, "size", "", "the most a part may have, such as 4G (4,000,000,000 bytes) or 4Gi (4,294,967,296)")
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to, made if it is missing (default: that of the file)")
	required(cmd, "size")
	return cmd
}

func newJoin() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "join FILE.parts.json -o FILE",
		Short: "Make a bundle of its parts",
		Long: `Put the parts beside the list together and hash all content on the way. Parts may come one after another: as far as they are
there they are copied, the next one is named, and running it again goes on with that. A damaged part is named too.`,
		Example: "  kubewright bundle join /media/usb/k8s.bundle.parts.json -o /var/lib/kubewright/k8s.bundle",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			if !strings.HasSuffix(args[0], bundle.PartsSuffix) {
				return fmt.Errorf("%s is not a list of parts: give the file that ends in %s", args[0], bundle.PartsSuffix)
			}
			return withMeter(cmd, "joining", func(o bundle.CopyOptions) error {
				return bundle.Join(cmd.Context(), output, args[0], o)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "bundle file to write")
	required(cmd, "output")
	return cmd
}

// withMeter runs something that copies and shows how far it is.
func withMeter(cmd *cobra.Command, doing string, run func(bundle.CopyOptions) error) error {
	m := newMeter(cmd.ErrOrStderr(), doing)
	defer m.end()
	return run(bundle.CopyOptions{Progress: m.show})
}
