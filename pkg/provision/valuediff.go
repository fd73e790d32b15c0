package provision

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
	// shownDigest is how many digits of a digest are shown in the place of a secret: enough to see that it is another one.
	shownDigest = 8
)

// masked shows values for people. What is secret, or long enough to hold something that is, shows as a digest under a key that only the
// operator of the cluster has: a plain digest would let anybody who sees a plan try passwords. The key is the same in every run, so that a
// plan is the same as long as what it does is.
type masked struct{ key []byte }

// masked has a key that is made from the cluster's authority, which whoever holds is its administrator anyway.
func (k *kube) masked() masked {
	h := hmac.New(sha256.New, k.cluster.Authorities.Cluster.Key)
	h.Write([]byte("kubewright.io: secrets that a plan shows"))
	return masked{h.Sum(nil)}
}

// digest stands for a value.
func (m masked) digest(text []byte) string {
	h := hmac.New(sha256.New, m.key)
	h.Write(text)
	return "hmac:" + hex.EncodeToString(h.Sum(nil))[:shownDigest]
}

// valueChanges says which values of a document would be others, one line each: "path: old -> new", in the order of the paths. Values that
// only have has are told of when removals is set: without it they may be defaults that somebody else filled in.
func (m masked) valueChanges(have, want any, removals bool) []string {
	had, wanted := map[string]string{}, map[string]string{}
	m.flatten("", plainJSON(have), had)
	m.flatten("", plainJSON(want), wanted)
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
func (m masked) flatten(path string, value any, into map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			m.flatten(strings.TrimPrefix(path+"."+key, "."), inner, into)
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
						into[at] = m.shownValue(at, only)
						continue
					}
				}
			}
			m.flatten(at, inner, into)
		}
	default:
		into[path] = m.shownValue(path, value)
	}
}

// shownValue is a value for people, a digest where its name says that it is a secret.
func (m masked) shownValue(path string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	name := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(path[strings.LastIndexAny(path, ".[")+1:]))
	for _, word := range []string{"password", "passwd", "secret", "token", "credential", "privatekey", "apikey"} {
		if _, isText := value.(string); isText && strings.Contains(name, word) && !strings.HasPrefix(value.(string), "/") {
			return m.digest(text)
		}
	}
	if len(text) > maxShownValue {
		return fmt.Sprintf("%d bytes, %s", len(text), m.digest(text))
	}
	return string(text)
}
