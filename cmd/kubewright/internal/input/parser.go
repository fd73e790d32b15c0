package input

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// parser gathers the objects of one file.
type parser struct {
	objects *Objects
	decoder runtime.Decoder
}

func (p *parser) document(d document) error {
	name := describe(d.text)
	fail := func(format string, args ...any) error {
		return &Error{File: p.objects.File, Document: d.number, Line: d.line, Object: name, Message: fmt.Sprintf(format, args...)}
	}
	decoded, kind, err := p.decoder.Decode([]byte(d.text), nil, nil)
	switch {
	case runtime.IsMissingKind(err):
		return fail("it has no apiVersion and kind")
	case runtime.IsNotRegisteredError(err):
		return fail("apiVersion and kind are not known here; allowed are Cluster, Host and OfflineManifest of %s, Secret and Namespace of v1", v1alpha1.GroupVersion)
	case err != nil:
		return fail("%s", d.mistake(err))
	}
	object, ok := decoded.(client.Object)
	if !ok {
		return fail("a %s is not allowed here", kind.Kind)
	}
	if object.GetName() == "" {
		return fail("metadata.name is missing")
	}
	if wrong := validation.IsDNS1123Subdomain(object.GetName()); len(wrong) > 0 {
		return fail("metadata.name: %q is not a name: %s", object.GetName(), strings.Join(wrong, "; "))
	}
	// The decoder leaves the type out of typed objects; server-side apply needs it.
	object.GetObjectKind().SetGroupVersionKind(*kind)
	object.SetManagedFields(nil)
	if err := p.take(object); err != nil {
		return fail("%s", err)
	}
	id := identity(object)
	if before, twice := p.objects.where[id]; twice {
		return fail("it is there twice, first in %s", before)
	}
	raw, err := asWritten(d.text, object)
	if err != nil {
		return fail("%s", d.mistake(err))
	}
	p.objects.written[id] = raw
	p.objects.where[id] = fmt.Sprintf("%s: document %d (line %d, %s)", p.objects.File, d.number, d.line, name)
	return nil
}

// take puts an object where it belongs and fills in its namespace.
func (p *parser) take(object client.Object) error {
	o := p.objects
	switch object := object.(type) {
	case *v1alpha1.Cluster:
		if o.Cluster != nil {
			return fmt.Errorf("it is the second Cluster of the file, after %s; a file describes one", o.Cluster.Name)
		}
		object.Status = v1alpha1.ClusterStatus{}
		o.Cluster = object
		fillNamespace(object)
	case *v1alpha1.Host:
		object.Status = v1alpha1.HostStatus{}
		o.Hosts = append(o.Hosts, object)
		fillNamespace(object)
	case *v1alpha1.OfflineManifest:
		if o.Manifest != nil {
			return fmt.Errorf("it is the second OfflineManifest of the file, after %s; a cluster uses one", o.Manifest.Name)
		}
		object.Status = v1alpha1.OfflineManifestStatus{}
		o.Manifest = object
	case *corev1.Secret:
		foldStringData(object)
		o.Secrets = append(o.Secrets, object)
		fillNamespace(object)
	case *corev1.Namespace:
		o.Namespaces = append(o.Namespaces, object)
	default:
		return fmt.Errorf("a %s is not allowed here; allowed are Cluster, Host and OfflineManifest of %s, Secret and Namespace of v1",
			object.GetObjectKind().GroupVersionKind().Kind, v1alpha1.GroupVersion)
	}
	return nil
}

// asWritten is an object with the fields the user wrote and no others, so that applying it owns and changes nothing else. A status
// is left out: it is not the user's to say.
func asWritten(text string, object client.Object) (*unstructured.Unstructured, error) {
	raw := &unstructured.Unstructured{}
	if secret, ok := object.(*corev1.Secret); ok {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(secret)
		if err != nil {
			return nil, err
		}
		raw.Object = content
	} else if err := yaml.Unmarshal([]byte(text), &raw.Object); err != nil {
		return nil, err
	}
	delete(raw.Object, "status")
	raw.SetNamespace(object.GetNamespace())
	raw.SetManagedFields(nil)
	raw.SetResourceVersion("")
	raw.SetUID("")
	unstructured.RemoveNestedField(raw.Object, "metadata", "creationTimestamp")
	return raw, nil
}

func fillNamespace(object client.Object) {
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
}

// foldStringData does what the API server would do, so that applying the same file again changes nothing.
func foldStringData(secret *corev1.Secret) {
	if len(secret.StringData) == 0 {
		return
	}
	data := map[string][]byte{}
	maps.Copy(data, secret.Data)
	for key, value := range secret.StringData {
		data[key] = []byte(value)
	}
	secret.Data, secret.StringData = data, nil
}

// describe says what a document is about, as far as that can be told from one with mistakes.
func describe(text string) string {
	var head struct {
		Kind     string            `json:"kind"`
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		return ""
	}
	return strings.TrimSpace(head.Kind + " " + head.Metadata.Name)
}

// lineOfDocument is how the YAML decoder names a line, counted within the document.
var lineOfDocument = regexp.MustCompile(`\bline (\d+)`)

// mistake puts an error of the decoder into one line for people, with lines counted in the file.
func (d document) mistake(err error) string {
	text := err.Error()
	for _, noise := range []string{"strict decoding error: ", "error converting YAML to JSON: ", "json: ", "yaml: ", "unmarshal errors:\n"} {
		text = strings.ReplaceAll(text, noise, "")
	}
	text = lineOfDocument.ReplaceAllStringFunc(text, func(found string) string {
		n, err := strconv.Atoi(strings.TrimPrefix(found, "line "))
		if err != nil {
			return found
		}
		return fmt.Sprintf("line %d", n+d.line-1)
	})
	return strings.Join(strings.Fields(text), " ")
}

func identity(object client.Object) string {
	return fmt.Sprintf("%T %s/%s", object, object.GetNamespace(), object.GetName())
}
