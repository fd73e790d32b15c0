package bundlecmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
)

func newInspect() *cobra.Command {
	var output string
	var bases []string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what is in a bundle",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q is unknown; it can be json", output)
			}
			b, err := bundle.OpenSet(args[0], bases...)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			signers, err := sign.Signers(args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), b, signers)
			}
			return printTable(cmd.OutOrStdout(), b, signers)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for everything in machine-readable form")
	baseFlag(cmd, &bases)
	return cmd
}

func printJSON(w io.Writer, b *bundle.Bundle, signers []sign.Signer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Path   string        `json:"path"`
		Size   int64         `json:"size"`
		Digest digest.Digest `json:"digest"`
		Base   *bundle.Base  `json:"base,omitempty"`
		// Referrers are not covered by the digest.
		Referrers []bundle.Referrer `json:"referrers,omitempty"`
		// SignedBy is what signatures say; nothing of it is verified.
		SignedBy []sign.Signer  `json:"signedBy,omitempty"`
		Config   *bundle.Config `json:"config"`
	}{b.Path(), b.Size(), b.Digest(), b.Base(), b.Referrers(), signers, b.Config()})
}

func printTable(out io.Writer, b *bundle.Bundle, signers []sign.Signer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { fmt.Fprintf(w, format, args...) } //nolint:errcheck // Flush reports it
	c := b.Config()
	p("Name:\t%s\nDigest:\t%s\nSize:\t%s\nCreated:\t%s\n", c.Name, b.Digest(), size(b.Size()), c.Created.Format("2006-01-02T15:04:05Z07:00"))
	if base := b.Base(); base != nil {
		p("Delta against:\t%s  %s\n", base.Name, base.Digest)
	}
	for _, r := range b.Referrers() {
		p("Attached:\t%s  %s  %s\n", r.Type, size(r.Content.Size), short(r.Content.Digest))
	}
	for _, s := range signers {
		at := ""
		if !s.SignedAt.IsZero() {
			at = " at " + s.SignedAt.Format("2006-01-02T15:04:05Z07:00")
		}
		p("Signed by:\tkey %s%s (not verified: kubewright bundle verify --key does)\n", s.KeyID, at)
	}
	if len(signers) == 0 {
		p("Signed by:\tnobody\n")
	}
	for _, r := range c.Releases {
		p("\nKubernetes %s for %s\n", r.KubernetesVersion, strings.Join(r.Platforms, ", "))
		for _, platform := range r.Platforms {
			if lacks := r.Lacks(platform); len(lacks) > 0 {
				p("%s lacks: %s\n", platform, strings.Join(lacks, ", "))
			}
		}
		p("\nFILE\tKIND\tVERSION\tPLATFORM\tSIZE\tDIGEST\n")
		for _, f := range r.Files {
			platform := f.Platform
			if platform == "" {
				platform = "any"
			}
			p("%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Kind, f.Version, platform, size(f.Size), short(f.Digest))
		}
		p("\nIMAGE\tCOMPONENT\tPLATFORM\tLAYERS\tSIZE\tDIGEST\n")
		for _, i := range r.Images {
			for k := range i.Platforms {
				ip := &i.Platforms[k]
				p("%s\t%s\t%s\t%d\t%s\t%s\n", i.Name, i.Component, ip.Platform, len(ip.Layers), size(ip.Size()), short(ip.Manifest.Digest))
			}
		}
	}
	return w.Flush()
}

// short is enough of a digest to tell blobs apart by eye.
func short(d digest.Digest) string { return d.Encoded()[:12] }
