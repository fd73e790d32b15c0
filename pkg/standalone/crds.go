package standalone

import (
	"context"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/crds"
)

// fieldOwner is the name under which this package applies objects.
const fieldOwner = client.FieldOwner("kubewright-standalone")

// installCRDs applies the CRDs of this project and waits until the API server serves them.
func installCRDs(ctx context.Context, config *rest.Config) error {
	all, err := crds.All()
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("register CustomResourceDefinitions: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make a client to install CRDs: %w", err)
	}
	for _, crd := range all {
		if err := applyCRD(ctx, c, crd); err != nil {
			return err
		}
	}
	for _, crd := range all {
		if err := awaitEstablished(ctx, c, crd.Name); err != nil {
			return err
		}
	}
	return nil
}

func applyCRD(ctx context.Context, c client.Client, crd *apiextensionsv1.CustomResourceDefinition) error {
	crd.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	raw, err := yaml.Marshal(crd)
	if err == nil {
		raw, err = yaml.YAMLToJSON(raw)
	}
	if err != nil {
		return fmt.Errorf("encode CRD %s: %w", crd.Name, err)
	}
	patch := client.RawPatch("application/apply-patch+yaml", raw)
	if err := c.Patch(ctx, crd, patch, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("install CRD %s: %w", crd.Name, err)
	}
	return nil
}

func awaitEstablished(ctx context.Context, c client.WithWatch, name string) error {
	var list apiextensionsv1.CustomResourceDefinitionList
	w, err := c.Watch(ctx, &list, client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)})
	if err != nil {
		return fmt.Errorf("watch CRD %s: %w", name, err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		crd, ok := event.Object.(*apiextensionsv1.CustomResourceDefinition)
		if !ok {
			return fmt.Errorf("watch CRD %s: the API server answered with %T", name, event.Object)
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
	}
	return fmt.Errorf("wait for CRD %s to be served: %w", name, context.Cause(ctx))
}
