// Package common stands in for the Tencent Cloud SDK's package of the same name, whose module cannot be fetched from the
// Go module proxy. flannel's main program imports a backend for that cloud, and only that backend uses it. The stand-in
// lets flannel link; the backend itself answers with an error (see the vpc package). It knows nothing of any cloud.
package common

// StringPtr returns a pointer to a copy of s.
func StringPtr(s string) *string { return &s }

// BoolPtr returns a pointer to a copy of b.
func BoolPtr(b bool) *bool { return &b }

// StringPtrs returns pointers to copies of the given strings, in order.
func StringPtrs(values []string) []*string {
	out := make([]*string, len(values))
	for i := range values {
		out[i] = StringPtr(values[i])
	}
	return out
}
