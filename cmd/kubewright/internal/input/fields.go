package input

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// field is one that a type has in YAML.
type field struct {
	name string
	kind reflect.Type
}

// fieldsOf lists the fields of a struct by their names in YAML, those of embedded ones included. A status is not the author's to write, but
// is left out in silence later, so that objects out of a cluster can be used.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			inner, _ := element(f.Type)
			out = append(out, fieldsOf(inner)...)
		case name == "":
			out = append(out, field{f.Name, f.Type})
		default:
			out = append(out, field{name, f.Type})
		}
	}
	return out
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// opaque says whether a type reads its YAML by itself, so that its fields say nothing about it.
func opaque(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshaler) || p.Implements(textUnmarshaler)
}
