package inbound

import (
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// sequence is an escape sequence of a terminal (ECMA-48): CSI, the strings that OSC, DCS, SOS, PM and APC begin, and those of few characters.
// A string that is not ended goes to the end of its line.
var sequence = regexp.MustCompile(`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]?` +
	`|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}\x{9e}\x{9f}])[^\x07\x1b\x{9c}\n]*(?:\x07|\x1b\\|\x{9c})?` +
	`|\x1b[ -/]*[0-~]?`)

// harmful reports whether a character does something else than stand in a text: control characters, and invisible ones that turn the direction
// of what follows, join, hide or mark it (Unicode's categories Cc, Cf, Zl and Zp). Line breaks and tabs are text.
func harmful(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}

// Text returns a text that a terminal shows and does not obey: without escape sequences, control characters and characters that turn its
// direction, and valid as UTF-8. A carriage return that ends a line goes, one within it, by which progress bars write over themselves, breaks it.
func Text(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.IndexFunc(text, harmful) < 0 {
		return text
	}
	text = sequence.ReplaceAllString(text, "")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	return strings.Map(func(r rune) rune {
		if harmful(r) {
			return -1
		}
		return r
	}, text)
}

// Line is Text on one line, so that a text cannot add lines that seem to come from somebody else.
func Line(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(Text(text))
}

// Head is Line cut to so many bytes at most.
func Head(text string, most int) string {
	return strings.ToValidUTF8(Line(text[:min(len(text), most)]), "")
}

// Clean makes every text in a decoded message one that Text would return, whatever the message is: what is added to messages later is cleaned
// too. It takes a pointer. Bytes are no text, and stay.
func Clean(message any) { clean(reflect.ValueOf(message)) }

func clean(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			clean(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				clean(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			clean(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			clean(value)
			kept := reflect.New(key.Type()).Elem()
			kept.Set(key)
			clean(kept)
			v.SetMapIndex(key, reflect.Value{})
			v.SetMapIndex(kept, value)
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(Text(v.String()))
		}
	default:
	}
}
