package evidence

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/kubewright/kubewright/pkg/bundle"
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

// imageURL is the package URL of an image: its version is the digest, the rest says where it is.
func imageURL(c bundle.Component) string {
	repository, tag := c.Source, ""
	if colon := strings.LastIndex(c.Source, ":"); colon > strings.LastIndex(c.Source, "/") {
		repository, tag = c.Source[:colon], c.Source[colon+1:]
	}
	return packageURL("oci/"+path.Base(repository), c.Checksum, "repository_url="+escape(repository)+"&tag="+escape(tag))
}

// releaseURL is the package URL of a file that a project publishes.
func releaseURL(c bundle.Component) string {
	return packageURL("generic/"+c.Name, c.Version, "checksum="+escape(c.Checksum)+"&download_url="+escape(c.Source))
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

// architecture of a Debian package: what it says, or that of the release's first platform.
func architecture(c bundle.Component, platforms []string) string {
	if c.Source != "" {
		return c.Source
	}
	return path.Base(platforms[0])
}
