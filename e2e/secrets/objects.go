//go:build e2e

package secrets

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// vault collects the Secrets of API servers: what they hold is what is hunted.
type vault struct {
	mu   sync.Mutex
	data map[string][]byte
}

// keep takes over what a Secret holds, and returns the object without it.
func (v *vault) keep(server string, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var content struct{ Data map[string][]byte }
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, value := range content.Data {
		v.data[fmt.Sprintf("%s: Secret %s/%s, %s", server, object.GetNamespace(), object.GetName(), key)] = value
	}
	bare := object.DeepCopy()
	unstructured.RemoveNestedField(bare.Object, "data")
	return bare, nil
}

// watchFile watches the API server that a kubeconfig leads to, as soon as there is one which serves a group of kinds, until ctx ends.
func watchFile(ctx context.Context, h *hunt, v *vault, server, kubeconfig, group string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err == nil {
			var served []schema.GroupVersionResource
			if served, err = resources(config, group); err == nil {
				return watchObjects(ctx, h, v, server, config, served)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no API server was found by %s: %w", kubeconfig, err)
		case <-ticker.C:
		}
	}
}

// resources lists what can be watched; an error until a group is there.
func resources(config *rest.Config, group string) ([]schema.GroupVersionResource, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := client.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	lists = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "watch"}}, lists)
	var all []schema.GroupVersionResource
	ready := false
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		ready = ready || version.Group == group
		for _, resource := range list.APIResources {
			all = append(all, version.WithResource(resource.Name))
		}
	}
	if !ready {
		return nil, fmt.Errorf("the kinds of %s are not served yet", group)
	}
	return all, nil
}

// watchObjects notes each version of each object, and of Secrets all but what they hold, until ctx ends.
func watchObjects(ctx context.Context, h *hunt, v *vault, server string, config *rest.Config, served []schema.GroupVersionResource) error {
	config = rest.CopyConfig(config)
	// All kinds are asked for at once, so that little happens before each is watched.
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	seen := func(resource schema.GroupVersionResource) func(any) {
		return func(object any) {
			o, ok := object.(*unstructured.Unstructured)
			if !ok { // what is known of an object whose end was missed was noted before
				return
			}
			from := strings.Join([]string{server, resource.Resource, o.GetNamespace(), o.GetName()}, "/")
			if resource.Resource == "secrets" {
				var err error
				if o, err = v.keep(server, o); err != nil {
					h.add(objects, from, []byte(err.Error()))
					return
				}
			}
			if text, err := o.MarshalJSON(); err == nil { // it came out of JSON
				h.add(objects, from, text)
			}
		}
	}
	for _, resource := range served {
		note := seen(resource)
		informer := factory.ForResource(resource).Informer()
		// The server ends before its watches do.
		if err := informer.SetWatchErrorHandler(func(*cache.Reflector, error) {}); err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: note, UpdateFunc: func(_, now any) { note(now) }, DeleteFunc: note,
		}); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	return nil
}
