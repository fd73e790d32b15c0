package fetch

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// plainPath is a path of names that mean nothing to a URL, a shell or go-getter, between single slashes.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._+=,:~@-]+)+$`)

// ParseSource takes a source apart: file:///PATH, http(s)://HOST/PATH, s3://BUCKET/KEY or oci://REGISTRY/REPOSITORY:TAG. What
// go-getter would act upon besides is refused with an *Error of kind Invalid: "::" that forces a getter, a user or password, query
// options such as checksum and archive, "//" before a subdirectory, and shorthands without a scheme. The API refuses the same when an
// OfflineManifest is written; here it holds for everyone.
func ParseSource(source string) (*url.URL, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, &Error{Kind: Invalid, Message: fmt.Sprintf("the source %.200q is not a URL", source)}
	}
	refuse := func(why string) (*url.URL, error) {
		return nil, &Error{Kind: Invalid, Message: fmt.Sprintf("the source %.200q %s", u.Redacted(), why)}
	}
	switch {
	case !slices.Contains([]string{"file", "http", "https", "s3", "oci"}, u.Scheme):
		return refuse("is none of file://, https://, s3:// and oci://")
	case u.User != nil:
		return refuse("holds a user or password: give credentials apart from it")
	case u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.HasSuffix(source, "#"):
		return refuse("has a query or a fragment: write the plain path")
	case strings.Contains(u.Path, "::"):
		return refuse("contains '::', which would force another way of fetching")
	case u.RawPath != "" || !plainPath.MatchString(u.Path):
		return refuse("has a path of more than letters, digits and . _ + = , : ~ @ - between single slashes")
	case path.Clean(u.Path) != u.Path:
		return refuse("has a path that leads up or nowhere ('.' or '..')")
	case u.Scheme == "file" && u.Host != "":
		return refuse("names another machine: write file:// and an absolute path")
	case u.Scheme != "file" && u.Hostname() == "":
		return refuse("names no host")
	case u.Scheme == "s3" && u.Port() != "":
		return refuse("has a port behind the bucket: name the server apart from it")
	}
	return u, nil
}
