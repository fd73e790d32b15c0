package input

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
)

// parser gathers the objects of one file, and the mistakes in it.
type parser struct {
	objects  *Objects
	scheme   *runtime.Scheme
	decoder  runtime.Decoder
	mistakes Errors
	// brokenCluster says that the file has a Cluster, although one with mistakes.
	brokenCluster bool
}

// allowed are the kinds a file may hold.
func allowed() []schema.GroupVersionKind {
	core := corev1.SchemeGroupVersion
	return []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("Cluster"), v1alpha1.GroupVersion.WithKind("Host"), v1alpha1.GroupVersion.WithKind("OfflineManifest"),
		core.WithKind("Secret"), core.WithKind("Namespace"),
	}
}

func (p *parser) fail(e *Error) {
	e.File = p.objects.File
	p.mistakes = append(p.mistakes, e)
}

// document reads one document, or gathers what is wrong with it.
func (p *parser) document(d document) {
	var root yaml3.Node
	if err := yaml3.Unmarshal([]byte(d.text), &root); err != nil {
		line, message, next := d.syntax(err)
		p.fail(&Error{Line: line, Message: message, Next: next})
		p.brokenCluster = true // it may be this one
		return
	}
	top := root.Content[0]
	kind, name, ok := p.kindOf(d, top)
	if !ok {
		return
	}
	typed, err := p.scheme.New(kind)
	if err != nil {
		p.fail(&Error{Line: d.line, Object: name, Message: err.Error()})
		return
	}
	before := len(p.mistakes)
	t := reflect.TypeOf(typed).Elem()
	lines := map[string]int{}
	c := &checker{lines: lines, offset: d.line - 1, root: t, hide: kind.Kind == "Secret", fail: func(line int, field, message, next string) {
		p.fail(&Error{Line: d.line - 1 + line, Object: name, Field: field, Message: message, Next: next})
	}}
	c.check(top, t, "")
	for path := range lines {
		lines[path] += d.line - 1
	}
	if len(p.mistakes) > before {
		p.brokenCluster = p.brokenCluster || kind.Kind == "Cluster"
		return
	}
	p.decode(d, name, place{line: d.line - 1 + top.Line, name: name, fields: lines})
}

// kindOf finds out what a document is about; false when that is a mistake already.
func (p *parser) kindOf(d document, top *yaml3.Node) (kind schema.GroupVersionKind, name string, ok bool) {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
	}
	_ = top.Decode(&head) // what it cannot read is empty
	name = strings.TrimSpace(head.Kind + " " + head.Metadata.Name)
	line := func(key string) int {
		for i := 0; i+1 < len(top.Content); i += 2 {
			if top.Content[i].Value == key {
				return d.line - 1 + top.Content[i].Line
			}
		}
		return d.line - 1 + top.Line
	}
	version, kinds := map[string]string{}, []string{}
	for _, one := range allowed() {
		version[one.Kind] = one.GroupVersion().String()
		kinds = append(kinds, one.Kind)
	}
	list := "allowed are " + strings.Join(kinds[:3], ", ") + " of " + v1alpha1.GroupVersion.String() + ", Secret and Namespace of v1"
	switch {
	case head.APIVersion == "" && head.Kind == "":
		p.fail(&Error{Line: line(""), Object: name, Message: "it has no apiVersion and kind", Next: list})
	case head.Kind == "":
		p.fail(&Error{Line: line("apiVersion"), Object: name, Field: "kind", Message: "it is missing", Next: list})
	case version[head.Kind] == "":
		next := list
		if near := Likely(head.Kind, kinds); near != "" {
			next = "did you mean " + near + "?"
		}
		p.fail(&Error{Line: line("kind"), Object: name, Field: "kind", Message: "a " + head.Kind + " is not allowed here", Next: next})
	case version[head.Kind] != head.APIVersion:
		p.fail(&Error{Line: line("apiVersion"), Object: name, Field: "apiVersion",
			Message: fmt.Sprintf("a %s is not of %q", head.Kind, head.APIVersion), Next: "write " + version[head.Kind]})
	default:
		gv, err := schema.ParseGroupVersion(head.APIVersion)
		return gv.WithKind(head.Kind), name, err == nil
	}
	p.brokenCluster = p.brokenCluster || strings.EqualFold(head.Kind, "Cluster")
	return kind, name, false
}

// decode makes an object of a document whose fields are as they should be.
func (p *parser) decode(d document, name string, at place) {
	fail := func(field, message, next string) {
		line := at.line
		if found, ok := at.fields[field]; ok {
			line = found
		}
		p.fail(&Error{Line: line, Object: name, Field: field, Message: message, Next: next})
	}
	decoded, kind, err := p.decoder.Decode([]byte(d.text), nil, nil)
	if err != nil {
		fail("", d.mistake(err), "")
		return
	}
	object, ok := decoded.(client.Object)
	if !ok {
		fail("kind", "a "+kind.Kind+" is not allowed here", "")
		return
	}
	if object.GetName() == "" {
		fail("metadata.name", "it is missing", "give the "+kind.Kind+" a name")
		return
	}
	if wrong := validation.IsDNS1123Subdomain(object.GetName()); len(wrong) > 0 {
		next := "write lower case letters, digits, '-' and '.'"
		if lower := strings.ReplaceAll(strings.ToLower(object.GetName()), "_", "-"); len(validation.IsDNS1123Subdomain(lower)) == 0 {
			next = "write " + lower
		}
		fail("metadata.name", fmt.Sprintf("%q is not a name", object.GetName()), next)
		return
	}
	// The decoder leaves the type out of typed objects; server-side apply needs it.
	object.GetObjectKind().SetGroupVersionKind(*kind)
	object.SetManagedFields(nil)
	if kind.Kind != "OfflineManifest" && kind.Kind != "Namespace" {
		fillNamespace(object)
	}
	id := identity(object)
	if before, twice := p.objects.places[id]; twice {
		fail("", fmt.Sprintf("it is there twice, first on line %d", before.line), "remove one, or give it another name")
		return
	}
	if err := p.take(object); err != nil {
		fail("", err.Error(), "")
		return
	}
	raw, err := asWritten(d.text, object)
	if err != nil {
		fail("", d.mistake(err), "")
		return
	}
	p.objects.written[id] = raw
	p.objects.places[id] = at
}

// take puts an object where it belongs.
func (p *parser) take(object client.Object) error {
	o := p.objects
	switch object := object.(type) {
	case *v1alpha1.Cluster:
		if o.Cluster != nil {
			return fmt.Errorf("it is the second Cluster of the file, after %s; a file describes one", o.Cluster.Name)
		}
		object.Status = v1alpha1.ClusterStatus{}
		o.Cluster = object
	case *v1alpha1.Host:
		object.Status = v1alpha1.HostStatus{}
		o.Hosts = append(o.Hosts, object)
	case *v1alpha1.OfflineManifest:
		if o.Manifest != nil {
			return fmt.Errorf("it is the second OfflineManifest of the file, after %s; a cluster uses one", o.Manifest.Name)
		}
		object.Status = v1alpha1.OfflineManifestStatus{}
		o.Manifest = object
	case *corev1.Secret:
		foldStringData(object)
		capi.MarkCredentials(object)
		o.Secrets = append(o.Secrets, object)
	case *corev1.Namespace:
		o.Namespaces = append(o.Namespaces, object)
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
