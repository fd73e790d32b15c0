package input

import (
	"regexp"
	"strconv"
	"strings"
)

// syntaxLine is how the YAML parser names a line, counted within the document.
var syntaxLine = regexp.MustCompile(`^line (\d+): `)

// syntax puts what the YAML parser says of a document that is no YAML into the words of its author.
func (d document) syntax(err error) (line int, message, next string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line = d.line
	if found := syntaxLine.FindStringSubmatch(text); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = d.line + n - 1
		}
		text = text[len(found[0]):]
	}
	if at := d.tab(); at > 0 {
		return at, "the line is indented with a tab", "YAML is indented with spaces"
	}
	if at := d.openQuote(); at > 0 && !strings.Contains(text, "escape") {
		return at, "a quote that begins here is not closed", "close it on the same line"
	}
	for _, known := range []struct{ says, message, next string }{
		{"unknown escape character", "a backslash in double quotes begins a special character", `write it twice, or put the text into single quotes`},
		{"mapping values are not allowed", "a ': ' stands where no field can begin", "put a text that holds ': ' into quotes, or indent the line as those beside it"},
		{"cannot start any token", "a text cannot begin with such a character", "put the text into quotes"},
		{"did not find expected key", "the line does not fit those before it", "indent it as the other fields of the same object, and close brackets and quotes"},
		{"did not find expected ',' or", "a list or an object in brackets is not closed, or a comma is missing", "write [a, b] or {a: 1, b: 2}"},
		{"did not find expected node content", "a value is missing", "write one, and close brackets"},
		{"could not find expected ':'", "a field has no ':'", "write name: value"},
		{"did not find expected '-' indicator", "the line does not fit the list before it", "begin entries of a list with '- ' in the same column"},
		{"document contains excessive aliasing", "the document refers to itself too often", "write it without aliases"},
	} {
		if strings.Contains(text, known.says) {
			return line, known.message, known.next
		}
	}
	return line, text, ""
}

// tab is the first line that is indented with a tab; 0 when none is.
func (d document) tab() int {
	n := d.line
	for text := range strings.Lines(d.text) {
		if indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]; strings.Contains(indent, "\t") && !blank(text) {
			return n
		}
		n++
	}
	return 0
}

// openQuote is the first line on which a value begins with a quote that does not end on it; 0 when there is none.
func (d document) openQuote() int {
	n := d.line
	for text := range strings.Lines(d.text) {
		_, value, found := strings.Cut(text, ": ")
		if !found {
			_, value, found = strings.Cut(text, "- ")
		}
		if value = strings.TrimSpace(value); found && len(value) > 0 && (value[0] == '"' || value[0] == '\'') &&
			strings.Count(strings.ReplaceAll(value, `\"`, ""), value[:1])%2 == 1 {
			return n
		}
		n++
	}
	return 0
}
