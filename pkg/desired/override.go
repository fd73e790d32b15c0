package desired

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// Merge lays overrides over a document as JSON merge patches (RFC 7386), in order: objects merge field by field, null removes,
// anything else replaces. It returns a *SpecError naming field when an override is not an object.
func Merge(document map[string]any, field string, overrides ...*runtime.RawExtension) (map[string]any, error) {
	for _, raw := range overrides {
		if raw == nil || len(raw.Raw) == 0 {
			continue
		}
		var patch map[string]any
		if err := json.Unmarshal(raw.Raw, &patch); err != nil {
			return nil, &SpecError{field, fmt.Sprintf("must be an object: %v", err)}
		}
		document = mergeObjects(document, patch)
	}
	return document, nil
}

func mergeObjects(target, patch map[string]any) map[string]any {
	merged := make(map[string]any, len(target)+len(patch))
	for k, v := range target {
		merged[k] = v
	}
	for k, v := range patch {
		switch value := v.(type) {
		case nil:
			delete(merged, k)
		case map[string]any:
			below, _ := merged[k].(map[string]any)
			merged[k] = mergeObjects(below, value)
		default:
			merged[k] = value
		}
	}
	return merged
}
