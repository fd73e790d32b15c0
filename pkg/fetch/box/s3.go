package box

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// emptyHash is the sha256 of nothing, which is what a GET carries.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// s3 gets s3://BUCKET/KEY: a plain GET with the bucket in the path, signed when there are keys. No profile, environment or metadata
// service is asked for any.
func (j *job) s3(ctx context.Context, source *url.URL) error {
	server, err := s3Server(j.request.Network)
	if err != nil {
		return err
	}
	object := server.JoinPath(source.Host, source.Path)
	transport, err := j.newTransport(server)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	c := j.request.Credentials
	from := remote{url: object, trusted: transport, stranger: transport, stay: true}
	switch {
	case c.Username != "" || c.Password != "" || c.Token != "":
		return &fetch.Error{Kind: fetch.Invalid, Message: "the credentials are not for s3: give accessKeyID and secretAccessKey"}
	case (c.AccessKeyID == "") != (c.SecretAccessKey == ""):
		return &fetch.Error{Kind: fetch.Invalid, Message: "one half of the credentials for s3 is missing: give accessKeyID and secretAccessKey"}
	case c.AccessKeyID != "":
		from.trusted = signed{
			credentials: aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken},
			region:      j.request.Network.S3Region,
			signer:      v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
			next:        transport,
		}
	}
	return j.download(ctx, from)
}

// s3Server is the server of s3 sources.
func s3Server(network fetch.Network) (*url.URL, error) {
	endpoint := network.S3Endpoint
	if endpoint == "" {
		endpoint = fmt.Sprintf("https://s3.%s.amazonaws.com", network.S3Region)
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || network.S3Region == "" {
		return nil, &fetch.Error{Kind: fetch.Invalid, Message: "the server or region of the s3 source is not right: give a URL such as https://minio.example.com:9000, and a region such as us-east-1"}
	}
	if u.Scheme == "http" && !network.AllowHTTP {
		return nil, &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is without TLS, which is not allowed here: use https://", u)}
	}
	return u, nil
}

// signed signs requests the way Amazon asks for (Signature Version 4).
type signed struct {
	credentials aws.Credentials
	region      string
	signer      *v4.Signer
	next        http.RoundTripper
}

func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("X-Amz-Content-Sha256", emptyHash)
	if err := s.signer.SignHTTP(req.Context(), s.credentials, req, emptyHash, "s3", s.region, time.Now()); err != nil { //nolint:contextcheck // it is the request's own
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return s.next.RoundTrip(req)
}
