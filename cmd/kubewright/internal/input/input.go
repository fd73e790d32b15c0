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

	where   map[string]string
	written map[string]*unstructured.Unstructured
}

// Error is a mistake in a file.
type Error struct {
	// File, Document (counted from 1), Line on which the document begins, and the object it describes, as far as known.
	File     string
	Document int
	Line     int
	Object   string
	// Message says what is wrong, naming the field where one is.
	Message string
}

func (e *Error) Error() string {
	where := e.File
	if e.Document > 0 {
		where += fmt.Sprintf(": document %d (line %d", e.Document, e.Line)
		if e.Object != "" {
			where += ", " + e.Object
		}
		where += ")"
	}
	return where + ": " + e.Message
}

// Read reads and parses a file. Every mistake found is a *Error, the first one is returned.
func Read(file string) (*Objects, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, &Error{File: file, Message: fmt.Sprintf("cannot be read: %v", err)}
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
		objects: &Objects{File: file, where: map[string]string{}, written: map[string]*unstructured.Unstructured{}},
		decoder: serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(),
	}
	for _, document := range split(string(content)) {
		if err := p.document(document); err != nil {
			return nil, err
		}
	}
	return p.objects, p.whole()
}

// Where names the document an object of the file came from, for messages about it.
func (o *Objects) Where(object client.Object) string {
	if at, ok := o.where[identity(object)]; ok {
		return at
	}
	return o.File
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
