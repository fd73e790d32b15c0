package provision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// maxValueChanges bounds how many values are shown of one document; what is left out is counted.
	maxValueChanges = 40
	// maxShownValue bounds a value that is shown, in bytes.
	maxShownValue = 200
	// shownDigest is how much of a digest is shown in the place of a secret: enough to see that it is another one.
	shownDigest = 8
)

// valueChanges says which values of a document would be others, one line each: "path: old -> new", in the order of the paths. Values that
// only have has are told of when removals is set: without it they may be defaults that somebody else filled in. Secrets are shown as
// digests.
func valueChanges(have, want any, removals bool) []string {
	had, wanted := map[string]string{}, map[string]string{}
	flatten("", plainJSON(have), had)
	flatten("", plainJSON(want), wanted)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		if old, ok := had[path]; !ok {
			lines = append(lines, fmt.Sprintf("%s: (none) -> %s", path, wanted[path]))
		} else if old != wanted[path] {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", path, old, wanted[path]))
		}
	}
	if removals {
		for _, path := range slices.Sorted(maps.Keys(had)) {
			if _, ok := wanted[path]; !ok {
				lines = append(lines, fmt.Sprintf("%s: %s -> (none)", path, had[path]))
			}
		}
	}
	slices.Sort(lines)
	if more := len(lines) - maxValueChanges; more > 0 {
		lines = append(lines[:maxValueChanges], fmt.Sprintf("and %d more values", more))
	}
	return lines
}

// plainJSON is a document as a JSON parser makes it, so that two of different origin can be compared.
func plainJSON(document any) any {
	text, err := json.Marshal(document)
	if err != nil {
		return nil
	}
	var plain any
	if json.Unmarshal(text, &plain) != nil {
		return nil
	}
	return plain
}

// flatten puts every value of a document under its path. Elements of lists that have names go by them, as arguments and volumes do.
func flatten(path string, value any, into map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			flatten(strings.TrimPrefix(path+"."+key, "."), inner, into)
		}
	case []any:
		for i, inner := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			if named, ok := inner.(map[string]any); ok {
				if name, ok := named["name"].(string); ok && name != "" {
					at = fmt.Sprintf("%s[%s]", path, name)
					if _, twice := into[at]; twice {
						at = fmt.Sprintf("%s[%s %d]", path, name, i)
					}
					if only, ok := named["value"]; ok && len(named) == 2 {
						into[at] = shownValue(at, only)
						continue
					}
				}
			}
			flatten(at, inner, into)
		}
	default:
		into[path] = shownValue(path, value)
	}
}

// shownValue is a value for people, a digest where its name says that it is a secret.
func shownValue(path string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	name := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(path[strings.LastIndexAny(path, ".[")+1:]))
	for _, word := range []string{"password", "passwd", "secret", "token", "credential", "privatekey", "apikey"} {
		if _, isText := value.(string); isText && strings.Contains(name, word) && !strings.HasPrefix(value.(string), "/") {
			return digestOf(text)[:len("sha256:")+shownDigest]
		}
	}
	if len(text) > maxShownValue {
		return fmt.Sprintf("%d bytes, %s", len(text), digestOf(text)[:len("sha256:")+shownDigest])
	}
	return string(text)
}
