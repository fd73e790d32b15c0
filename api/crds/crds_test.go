package crds_test

import (
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kubewright/kubewright/api/crds"
)

func TestAllHoldsTheFourKinds(t *testing.T) {
	all, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, crd := range all {
		kinds = append(kinds, crd.Spec.Names.Kind)
	}
	if want := []string{"ClusterOperation", "Cluster", "Host", "OfflineManifest"}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

func TestAllReturnsFreshObjects(t *testing.T) {
	first, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	first[0].Name = "spoilt"
	second, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	if second[0].Name == "spoilt" {
		t.Error("a change to what one call returned shows in the next")
	}
}

// TestEveryFieldIsExplained walks what `kubectl explain` walks.
func TestEveryFieldIsExplained(t *testing.T) {
	all, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	for _, crd := range all {
		for _, version := range crd.Spec.Versions {
			t.Run(crd.Spec.Names.Kind+" "+version.Name, func(t *testing.T) {
				if version.Schema.OpenAPIV3Schema.Description == "" {
					t.Errorf("the kind itself has no description")
				}
				fields += walk(t, crd.Spec.Names.Kind, version.Schema.OpenAPIV3Schema)
			})
		}
	}
	if fields < 100 {
		t.Errorf("only %d fields were seen, so this test did not look everywhere", fields)
	}
}

func walk(t *testing.T, path string, schema *apiextensionsv1.JSONSchemaProps) int {
	t.Helper()
	seen := 0
	for name, property := range schema.Properties {
		field := path + "." + name
		seen++
		// The API server explains metadata itself.
		if property.Description == "" && name != "metadata" {
			t.Errorf("%s has no description: write a doc comment in api/v1alpha1 and run `make generate`", field)
		}
		seen += walk(t, field, &property)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		seen += walk(t, path+"[]", schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		seen += walk(t, path+"{}", schema.AdditionalProperties.Schema)
	}
	return seen
}
