package evidence

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// packageURL is a package URL (https://github.com/package-url/purl-spec); name begins with the type.
func packageURL(name, version, qualifiers string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = escape(parts[i])
	}
	out := "pkg:" + strings.Join(parts, "/")
	if version != "" {
		out += "@" + escape(version)
	}
	if qualifiers != "" {
		out += "?" + qualifiers
	}
	return out
}

// escape encodes what a part of a package URL must not have; QueryEscape differs from that only in blanks.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// dirHash turns the h1 hash of a go.sum file, which is a sha256 in base64, into hex digits.
func dirHash(sum string) (string, error) {
	encoded, ok := strings.CutPrefix(sum, "h1:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) != 32 {
		return "", fmt.Errorf("%.80q is no hash of a go.sum file", sum)
	}
	return hex.EncodeToString(raw), nil
}
