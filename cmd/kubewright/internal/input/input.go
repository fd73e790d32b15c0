package input

import (
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Objects are what a file holds, with namespaces filled in.
type Objects struct {
	// File is where they were read from.
	File string
	// Cluster is the one Cluster of the file.
	Cluster *v1alpha1.Cluster
	// Manifest is the OfflineManifest of the file, nil without one.
	Manifest *v1alpha1.OfflineManifest
	// Hosts, Secrets and Namespaces of the file, in its order.
	Hosts      []*v1alpha1.Host
	Secrets    []*corev1.Secret
	Namespaces []*corev1.Namespace

	places  map[string]place
	written map[string]*unstructured.Unstructured
}

// Read reads and parses a file. The error is Errors with every mistake that was found.
func Read(file string) (*Objects, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, Errors{{File: file, Message: fmt.Sprintf("cannot be read: %v", err)}}
	}
	return Parse(file, content)
}

// Parse parses the content of a file; the name is for messages.
func Parse(file string, content []byte) (*Objects, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	p := parser{
		objects: &Objects{File: file, places: map[string]place{}, written: map[string]*unstructured.Unstructured{}},
		scheme:  scheme,
		decoder: serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(),
	}
	for _, document := range split(string(content)) {
		p.document(document)
	}
	p.whole()
	return p.objects, p.mistakes.orNil()
}

// place is where an object stands in the file.
type place struct {
	// line its document begins on, and what it is.
	line int
	name string
	// fields maps paths to lines of the file.
	fields map[string]int
}

// Where names the place of an object in the file, for messages about it.
func (o *Objects) Where(object client.Object) string {
	return strings.TrimSuffix(o.Mistake(object, "", "", "").Error(), ": ")
}

// Mistake makes an error about a field of an object of the file, or about the object as a whole when field is empty. The line is that of
// the field or, where it is not written, of what it would stand in.
func (o *Objects) Mistake(object client.Object, field, message, next string) *Error {
	e := &Error{File: o.File, Field: field, Message: message, Next: next}
	at, ok := o.places[identity(object)]
	if !ok {
		e.Object = strings.TrimSpace(object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName())
		return e
	}
	e.Object, e.Line = at.name, at.line
	for path := field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if line, ok := at.fields[path]; ok {
			e.Line = line
			break
		}
	}
	return e
}

// AsWritten returns an object of the file with the fields its author wrote, ready to be applied; nil when it is not of the file.
// Callers may change the copy they get.
func (o *Objects) AsWritten(object client.Object) *unstructured.Unstructured {
	if raw := o.written[identity(object)]; raw != nil {
		return raw.DeepCopy()
	}
	return nil
}

// UseManifest has the Cluster take its content from the OfflineManifest of a name.
func (o *Objects) UseManifest(name string) error {
	o.Cluster.Spec.OfflineManifestRef.Name = name
	raw := o.written[identity(o.Cluster)]
	if raw == nil {
		return fmt.Errorf("%s: Cluster %s was not read from the file", o.File, o.Cluster.Name)
	}
	return unstructured.SetNestedField(raw.Object, name, "spec", "offlineManifestRef", "name")
}

// document is one YAML document of a file.
type document struct {
	number int
	line   int
	text   string
}

// split cuts at lines of three dashes. Documents with nothing but comments are left out, but counted.
func split(content string) []document {
	var documents []document
	var current strings.Builder
	number, start, line := 1, 1, 0
	end := func() {
		if !blank(current.String()) {
			documents = append(documents, document{number: number, line: start, text: current.String()})
			number++
		}
		current.Reset()
	}
	for text := range strings.Lines(content) {
		line++
		if bare := strings.TrimRight(text, " \t\r\n"); bare == "---" || strings.HasPrefix(bare, "--- #") {
			end()
			start = line + 1
			continue
		}
		current.WriteString(text)
	}
	end()
	return documents
}

func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}
