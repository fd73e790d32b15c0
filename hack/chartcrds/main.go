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
	"regexp"
	"strings"
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

// newer are the functions of CEL that not every API server has which the chart supports, and the version that brings them (k8s.io/apiserver,
// pkg/cel/environment). A rule with one of them is only there for API servers that can read it; controllers see to what it says too.
var newer = []struct{ function, version string }{
	{".flatten()", "1.34"},
	{".transformMapEntry(", "1.32"},
}

// needs is the version of Kubernetes that a rule needs; empty when any that the chart supports will do.
func needs(rule string) string {
	joined := strings.Join(strings.Fields(rule), "")
	for _, n := range newer {
		if strings.Contains(joined, n.function) {
			return n.version
		}
	}
	return ""
}

// conditional makes each rule that needs a newer API server depend on its version. A rule is an entry of a list in YAML: from its dash to the
// next line that is not indented further.
func conditional(crd []byte) []byte {
	var out, entry bytes.Buffer
	indent := -1
	flush := func() {
		if version := needs(entry.String()); version != "" {
			fmt.Fprintf(&out, "{{- if semverCompare \">=%s.0-0\" .Capabilities.KubeVersion.Version }}\n%s{{- end }}\n", version, entry.String())
		} else {
			out.Write(entry.Bytes())
		}
		entry.Reset()
		indent = -1
	}
	for line := range bytes.Lines(crd) {
		margin := len(line) - len(bytes.TrimLeft(line, " "))
		if indent >= 0 && margin <= indent {
			flush()
		}
		if indent < 0 && rulesBegin.Match(line) {
			indent = margin
		}
		if indent < 0 {
			out.Write(line)
			continue
		}
		entry.Write(line)
	}
	flush()
	return out.Bytes()
}

// rulesBegin is the first line of an entry of x-kubernetes-validations.
var rulesBegin = regexp.MustCompile(`^ *- (message|messageExpression|fieldPath|optionalOldSelf|reason|rule): `)

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
	out.Write(conditional(after))
	out.WriteString("{{- end }}\n")
	return out.Bytes(), nil
}
