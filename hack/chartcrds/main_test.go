package main

import (
	"errors"
	"strings"
	"testing"
)

func TestACRDBecomesAConditionalTemplate(t *testing.T) {
	got, err := templateOf([]byte("---\nkind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n  name: x\nspec: 'say {{ hello'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"{{- if .Values.crds.enabled }}\nkind: CustomResourceDefinition\n",
		"  annotations:\n    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n    a: b\n",
		`say {{ "{{" }} hello`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the template lacks %q:\n%s", want, got)
		}
	}
}

func TestACRDWithoutAnnotationsIsRefused(t *testing.T) {
	if _, err := templateOf([]byte("metadata:\n  name: x\n")); !errors.Is(err, errNoAnnotations) {
		t.Errorf("got %v, want %v", err, errNoAnnotations)
	}
}

func TestADirectoryWithoutCRDsIsRefused(t *testing.T) {
	if err := run(t.TempDir(), t.TempDir()); err == nil {
		t.Error("no CRDs were accepted, so the chart would lose them")
	}
}
