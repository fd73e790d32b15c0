package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/kubewright/kubewright/api/crds"
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

func TestARuleThatNeedsANewerAPIServerDependsOnItsVersion(t *testing.T) {
	got := string(conditional([]byte("  x-kubernetes-validations:\n  - message: a\n    rule: self\n  - message: b\n    rule: self.\n      flatten()\n  - message: c\n    rule: x\n")))
	want := "  x-kubernetes-validations:\n  - message: a\n    rule: self\n{{- if semverCompare \">=1.34.0-0\" .Capabilities.KubeVersion.Version }}\n" +
		"  - message: b\n    rule: self.\n      flatten()\n{{- end }}\n  - message: c\n    rule: x\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// oldest is what the chart's kubeVersion says.
var oldest = version.MajorMinor(1, 30)

// Every rule that the chart gives an API server of the oldest version is one that this version can read.
func TestTheOldestAPIServerCanReadEveryRuleItIsGiven(t *testing.T) {
	chart, err := os.ReadFile("../../charts/kubewright/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("kubeVersion: \">=%s.0-0\"\n", oldest); !strings.Contains(string(chart), want) {
		t.Errorf("the chart does not say %s", want)
	}
	definitions, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	checked, held := 0, 0
	for _, definition := range definitions {
		for _, v := range definition.Spec.Versions {
			internal := &apiextensions.JSONSchemaProps{}
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, internal, nil); err != nil {
				t.Fatal(err)
			}
			structural, err := schema.NewStructural(internal)
			if err != nil {
				t.Fatal(err)
			}
			walk(structural, definition.Name, true, func(s *schema.Structural, path string, root bool) {
				kept := s.XValidations[:0:0]
				for _, rule := range s.XValidations {
					if needs(rule.Rule) != "" {
						held++
						continue
					}
					kept = append(kept, rule)
				}
				if len(kept) == 0 {
					return
				}
				one := *s
				one.XValidations = kept
				results, err := schemacel.Compile(&one, model.SchemaDeclType(&one, root), celconfig.PerCallLimit, environment.MustBaseEnvSet(oldest), schemacel.NewExpressionsEnvLoader())
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				for i, r := range results {
					checked++
					if r.Error != nil {
						t.Errorf("%s: Kubernetes %s cannot read the rule %s: %v", path, oldest, kept[i].Rule, r.Error)
					}
				}
			})
		}
	}
	if checked < 20 || held == 0 {
		t.Errorf("%d rules were looked at and %d held back: the schemas were not walked", checked, held)
	}
}

// walk goes through a schema and all below it.
func walk(s *schema.Structural, path string, root bool, do func(s *schema.Structural, path string, root bool)) {
	do(s, path, root)
	for name, property := range s.Properties {
		walk(&property, path+"."+name, false, do)
	}
	if s.Items != nil {
		walk(s.Items, path+"[]", false, do)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		walk(s.AdditionalProperties.Structural, path+".*", false, do)
	}
}
