// Command chartcrds turns generated CRDs into templates of the Helm chart. Helm never upgrades what lies in a chart's crds
// directory, so they are ordinary templates here, which crds.enabled turns off and crds.keep keeps at uninstallation.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	from := flag.String("from", "api/crds", "directory of the generated CRDs")
	to := flag.String("to", "charts/kubewright/templates/crds", "directory of the templates; other files in it are removed")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "chartcrds:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	paths, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no CRDs in %s; generate them first", from)
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil { //nolint:gosec // part of the repository
		return err
	}
	for _, path := range paths {
		crd, err := os.ReadFile(path) //nolint:gosec // a path this program has just listed
		if err != nil {
			return err
		}
		template, err := templateOf(crd)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), template, 0o644); err != nil { //nolint:gosec // part of the repository
			return err
		}
	}
	return nil
}

var errNoAnnotations = errors.New("metadata has no annotations to add Helm's to; has controller-gen changed what it writes?")

// templateOf wraps one CRD. Braces of the CRD's own text must not mean anything to Helm.
func templateOf(crd []byte) ([]byte, error) {
	const annotations = "\n  annotations:\n"
	crd = bytes.TrimPrefix(crd, []byte("---\n"))
	crd = bytes.ReplaceAll(crd, []byte("{{"), []byte(`{{ "{{" }}`))
	before, after, found := bytes.Cut(crd, []byte(annotations))
	if !found {
		return nil, errNoAnnotations
	}
	var out bytes.Buffer
	out.WriteString("{{- /* Generated from api/v1alpha1 by `make generate`; do not edit. */ -}}\n{{- if .Values.crds.enabled }}\n")
	out.Write(before)
	out.WriteString(annotations)
	out.WriteString("    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n")
	out.Write(after)
	out.WriteString("{{- end }}\n")
	return out.Bytes(), nil
}
