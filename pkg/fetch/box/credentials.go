package box

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// withCredentials returns a transport that adds a user and password, or a token, to each request.
func withCredentials(transport http.RoundTripper, c fetch.Credentials, source *url.URL) (http.RoundTripper, error) {
	switch {
	case c.AccessKeyID != "" || c.SecretAccessKey != "":
		return nil, &fetch.Error{Kind: fetch.Invalid, Message: fmt.Sprintf("%s: the credentials are for s3; give username and password, or token", shown(source))}
	case c.Username == "" && c.Password == "" && c.Token == "":
		return transport, nil
	case source.Scheme != "https":
		return nil, &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is without TLS, so credentials are not sent there: use https://", shown(source))}
	}
	return authorized{c, transport}, nil
}

// authorized adds credentials to requests.
type authorized struct {
	credentials fetch.Credentials
	next        http.RoundTripper
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if a.credentials.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.credentials.Token)
	} else {
		req.SetBasicAuth(a.credentials.Username, a.credentials.Password)
	}
	return a.next.RoundTrip(req)
}
