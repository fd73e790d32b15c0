package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// What people write is bounded field by field, so that no object grows without limit and no value means something nobody thought of.
func TestEveryFieldThatPeopleWriteIsBounded(t *testing.T) {
	for name, crd := range crds(t) {
		t.Run(name, func(t *testing.T) {
			for _, f := range fieldsOf("spec", crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]) {
				s := f.schema
				switch {
				case strings.HasPrefix(f.path, "spec.workers[].taints[].") || f.path == "spec.workers[].labels{}":
					// Rules of the list and of the map bound what stands in Kubernetes' own types; see testCreateCluster.
				case s.Type == "string" && s.MaxLength == nil && len(s.Enum) == 0 && s.Format != "date-time" && s.Format != "duration":
					t.Errorf("%s: a text without maxLength", f.path)
				case s.Type == "integer" && (s.Minimum == nil || s.Maximum == nil):
					t.Errorf("%s: a number without minimum and maximum", f.path)
				case s.Type == "array" && s.MaxItems == nil:
					t.Errorf("%s: a list without maxItems", f.path)
				case s.Type == "object" && s.AdditionalProperties != nil && s.MaxProperties == nil:
					t.Errorf("%s: a map without maxProperties", f.path)
				}
			}
		})
	}
}

// field is one place of a schema, written as in spec.workers[].hosts.
type field struct {
	path   string
	schema apiextensionsv1.JSONSchemaProps
}

// fieldsOf lists a schema and everything below it.
func fieldsOf(path string, s apiextensionsv1.JSONSchemaProps) []field {
	list := []field{{path, s}}
	for name, p := range s.Properties {
		list = append(list, fieldsOf(path+"."+name, p)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		list = append(list, fieldsOf(path+"[]", *s.Items.Schema)...)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		list = append(list, fieldsOf(path+"{}", *s.AdditionalProperties.Schema)...)
	}
	return list
}

// crds are those of this project, by the name of their kind.
func crds(t *testing.T) map[string]apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	paths, err := filepath.Glob("../crds/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs are found: %v", err)
	}
	all := map[string]apiextensionsv1.CustomResourceDefinition{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		all[crd.Spec.Names.Kind] = crd
	}
	return all
}
