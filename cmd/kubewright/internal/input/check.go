package input

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// checker compares a document with the type that it describes, and gathers all mistakes and the lines of all fields.
type checker struct {
	// fail takes a mistake on a line of the document.
	fail func(line int, field, message, next string)
	// lines maps the path of each field to its line in the document.
	lines map[string]int
	// hide keeps values out of messages: the document is a Secret.
	hide bool
	// offset is what is added to a line of the document for that of the file.
	offset int
	// root is the type of the whole document, for telling where a misplaced field belongs.
	root reflect.Type
}

// check walks one value.
func (c *checker) check(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c.lines[path] = n.Line
	if isNull(n) {
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[runtime.RawExtension]():
		if n.Kind != yaml.MappingNode {
			c.fail(n.Line, path, "is "+c.describe(n)+", but fields are wanted here", "write them below it, indented, as in the object that is overridden")
			return
		}
		c.free(n, path)
	case opaque(t):
		c.special(n, t, path)
	case t.Kind() == reflect.Struct:
		c.object(n, t, path)
	case t.Kind() == reflect.Map:
		c.mapping(n, t, path)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		c.bytes(n, path)
	case t.Kind() == reflect.Slice:
		c.list(n, t, path)
	case t.Kind() == reflect.Interface:
		c.free(n, path)
	default:
		c.scalar(n, t, path)
	}
}

func (c *checker) object(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.MappingNode {
		next := "write them below it, indented"
		if names := fieldsOf(t); len(names) == 1 && n.Kind == yaml.ScalarNode && !c.hide {
			next = fmt.Sprintf("write {%s: %s}", names[0].name, n.Value)
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but fields are wanted here", next)
		return
	}
	known := map[string]reflect.Type{}
	var names []string
	for _, f := range fieldsOf(t) {
		known[f.name] = f.kind
		names = append(names, f.name)
	}
	c.each(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		kind, ok := known[key.Value]
		if !ok {
			c.lines[at] = key.Line
			c.fail(key.Line, at, "there is no such field", c.meant(t, path, key.Value, names))
			return
		}
		c.check(value, kind, at)
		c.lines[at] = key.Line
	})
}

// meant says which field was probably meant: one beside it, or one of the same name elsewhere.
func (c *checker) meant(t reflect.Type, path, name string, beside []string) string {
	if near := Likely(name, beside); near != "" {
		return "did you mean " + near + "?"
	}
	places := elsewhere(t, path, name)
	if len(places) == 0 {
		places = elsewhere(c.root, "", name)
	}
	if len(places) > 0 {
		return "did you mean " + strings.Join(places[:min(len(places), 2)], " or ") + "?"
	}
	if len(beside) == 0 {
		return ""
	}
	return "known here are " + strings.Join(beside, ", ")
}

func (c *checker) mapping(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.MappingNode {
		c.fail(n.Line, path, "is "+c.describe(n)+", but names with values are wanted here", "write name: value below it, indented")
		return
	}
	c.each(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		c.check(value, t.Elem(), at)
		c.lines[at] = key.Line
	})
}

func (c *checker) list(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.SequenceNode {
		next := "begin each entry with '- '"
		if n.Kind == yaml.ScalarNode && !c.hide {
			next = "write [" + n.Value + "]"
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but a list is wanted", next)
		return
	}
	for i, inner := range n.Content {
		c.check(inner, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
	}
}

// free walks what may hold anything, for doubled fields and for lines.
func (c *checker) free(n *yaml.Node, path string) {
	if n.Kind == yaml.AliasNode {
		return // its target was walked where it stands
	}
	c.lines[path] = n.Line
	switch n.Kind {
	case yaml.MappingNode:
		c.each(n, path, func(key, value *yaml.Node) {
			at := join(path, key.Value)
			c.free(value, at)
			c.lines[at] = key.Line
		})
	case yaml.SequenceNode:
		for i, inner := range n.Content {
			c.free(inner, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// each goes through the fields of an object, and tells of those that are there twice.
func (c *checker) each(n *yaml.Node, path string, do func(key, value *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := first[key.Value]; twice {
			c.fail(key.Line, join(path, key.Value), "it is there twice", fmt.Sprintf("remove one; the first is on line %d", c.offset+line))
			continue
		}
		first[key.Value] = key.Line
		do(key, value)
	}
}

func (c *checker) scalar(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.ScalarNode {
		c.fail(n.Line, path, "is "+c.describe(n)+", but one value is wanted", "")
		return
	}
	is := kindOf(n)
	switch t.Kind() {
	case reflect.String:
		if is == "text" {
			return
		}
		next := "put it into quotes"
		if !c.hide {
			next = asText(path, n.Value)
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but a text is wanted", next)
	case reflect.Bool:
		if is == "truth value" {
			return
		}
		next := "write true or false, without quotes"
		if isTruth.MatchString(n.Value) && !c.hide {
			next = "write " + strings.ToLower(n.Value) + ", without quotes"
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but true or false is wanted", next)
	default:
		if is == "number" {
			if strings.ContainsAny(n.Value, ".eE") && !strings.HasPrefix(n.Value, "0x") {
				c.fail(n.Line, path, "is "+c.describe(n)+", but a whole number is wanted", "")
			}
			return
		}
		next := ""
		if isNumber.MatchString(n.Value) && !c.hide {
			next = "write " + n.Value + ", without quotes"
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but a number is wanted", next)
	}
}

// asText says how a value is written that YAML takes for something else.
func asText(path, value string) string {
	if strings.HasSuffix(path, "version") && versionWithoutV.MatchString(value) {
		return "write v" + value + ", with the patch version, as `kubewright bundle inspect` lists them"
	}
	return fmt.Sprintf("put it into quotes: %q", value)
}

var (
	versionWithoutV = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
	isTruth         = regexp.MustCompile(`^(?i:true|false)$`)
	// YAML 1.1, which Kubernetes reads, knows more words for true and false.
	yamlTruth = regexp.MustCompile(`^(y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$`)
	isNumber  = regexp.MustCompile(`^[-+]?([0-9][0-9_]*(\.[0-9]*)?([eE][-+]?[0-9]+)?|0x[0-9a-fA-F]+)$`)
)

// kindOf says what Kubernetes' YAML parser takes a scalar for.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.Tag == "!!str" && n.Style&yaml.TaggedStyle != 0:
		return "text"
	case yamlTruth.MatchString(n.Value):
		return "truth value"
	case n.ShortTag() == "!!int" || n.ShortTag() == "!!float":
		return "number"
	}
	return "text"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describeNode says what somebody wrote.
func (c *checker) describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "an object with fields"
	}
	if kind := kindOf(n); c.hide {
		return "a " + kind
	}
	switch kindOf(n) {
	case "number":
		return "the number " + n.Value
	case "truth value":
		if !isTruth.MatchString(n.Value) {
			return n.Value + ", which YAML takes for true or false"
		}
		return "the value " + n.Value
	}
	const shown = 40
	if value := []rune(n.Value); len(value) > shown {
		return fmt.Sprintf("the text %q...", string(value[:shown]))
	}
	return fmt.Sprintf("the text %q", n.Value)
}

func (c *checker) bytes(n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode {
		c.fail(n.Line, path, "is "+c.describe(n)+", but one value is wanted", "")
		return
	}
	if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), "")); err != nil {
		// What stands there may be the secret itself, so it is not repeated.
		c.fail(n.Line, path, "is not base64", "write it as it is under stringData instead")
	}
}

// special asks a type that reads its text by itself.
func (c *checker) special(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.ScalarNode {
		return // the decoder judges it
	}
	value := reflect.New(t).Interface()
	text, err := json.Marshal(n.Value)
	if kindOf(n) != "text" {
		text = []byte(n.Value)
	}
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	// What was stored before it was judged is read as it is; a file has to be right.
	if d, ok := value.(*v1alpha1.Duration); err == nil && (!ok || d.Invalid == "") {
		return
	}
	switch t {
	case reflect.TypeFor[metav1.Duration](), reflect.TypeFor[v1alpha1.Duration]():
		next := "write for example 30s, 10m or 1h30m"
		if kindOf(n) == "number" {
			next = fmt.Sprintf("write a unit behind it: %ss, %sm or %sh", n.Value, n.Value, n.Value)
		}
		c.fail(n.Line, path, "is "+c.describe(n)+", but a time span is wanted", next)
	default:
		c.fail(n.Line, path, "is "+c.describe(n)+", which cannot be used here: "+strings.TrimPrefix(err.Error(), "json: "), "")
	}
}
