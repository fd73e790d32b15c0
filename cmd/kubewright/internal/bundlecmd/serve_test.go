package bundlecmd

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/registry/registrytest"
)

// served runs serve until the test ends and returns the URL it says, and what ends it.
func served(t *testing.T, args ...string) (url string, end func() error) {
	t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := New()
	cmd.SilenceErrors = true
	cmd.SetArgs(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...))
	cmd.SetOut(in)
	cmd.SetErr(&bytes.Buffer{})
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		in.CloseWithError(err) //nolint:errcheck // it never fails
		done <- err
	}()
	ended := false
	end = func() error {
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !ended {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, lines) //nolint:errcheck // nobody reads the rest
	return strings.TrimSpace(line), end
}

// certificate writes a certificate for loopback and its key, and returns the files and who trusts it.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return put(t, "serve.crt", string(cert)), put(t, "serve.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), roots
}

func TestABundleIsServedUntilItIsEnded(t *testing.T) {
	path, root := written(t)
	certFile, keyFile, roots := certificate(t)
	token := put(t, "token", "a token that is long enough\n")
	for name, c := range map[string]struct {
		args   []string
		scheme string
		header string
		status int
	}{
		"without TLS":       {[]string{path, "--digest", root.String()}, "http", "", 200},
		"with TLS":          {[]string{path, "--tls-cert-file", certFile, "--tls-key-file", keyFile}, "https", "", 200},
		"with the token":    {[]string{path, "--token-file", token}, "http", "Bearer a token that is long enough", 200},
		"without the token": {[]string{path, "--token-file", token}, "http", "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			url, end := served(t, c.args...)
			if !strings.HasPrefix(url, c.scheme+"://127.0.0.1:") {
				t.Errorf("it says %q", url)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
			for path, says := range map[string]string{
				"/blobs/sha256/" + root.Encoded(): "application/vnd.kubewright.bundle.v1", "/v2/_catalog": "repositories",
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", c.header)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != c.status || c.status == 200 && !strings.Contains(string(body), says) {
					t.Errorf("%s: status %d, body %q, %v", path, resp.StatusCode, body, err)
				}
			}
			if err := end(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if resp, err := client.Get(url); err == nil {
				resp.Body.Close()
				t.Error("it answers after its end")
			}
		})
	}
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	path, root := written(t)
	certFile, keyFile, _ := certificate(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	// What is served all the same ends some time.
	ending, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a certificate without its key":    {[]string{path, "--tls-cert-file", certFile}, "belong together"},
		"a key for a certificate":          {[]string{path, "--tls-cert-file", keyFile, "--tls-key-file", keyFile}, "--tls-cert-file"},
		"a token that can be guessed":      {[]string{path, "--token-file", put(t, "token", "1234\n")}, "has 4 characters"},
		"a token that is not there":        {[]string{path, "--token-file", "/nowhere"}, "--token-file"},
		"an address that is taken":         {[]string{path, "--listen", taken.Addr().String()}, "--listen"},
		"another bundle than is trusted":   {[]string{path, "--digest", strings.Replace(root.String(), root.Encoded()[:4], "0000", 1)}, "0000"},
		"a file that is not there":         {[]string{path + ".not"}, path + ".not"},
		"a bundle that should be signed":   {[]string{path, "--key", "/nowhere.pub"}, "--key"},
		"what is served in place of a key": {[]string{path, "--key", certFile}, "--key"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := callUntil(ending, append([]string{"serve", "--listen", "127.0.0.1:0"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The whole table of what hostile bundles may be is in pkg/bundle. Here is one of each sort, those first that open without a complaint.
func TestAHostileBundleIsNeverServed(t *testing.T) {
	path, root := written(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) []byte {
		changed := bytes.Replace(good, []byte(from), []byte(to), 1)
		if bytes.Equal(changed, good) {
			t.Fatalf("the bundle has no %q", from)
		}
		return changed
	}
	var linked bytes.Buffer
	w := tar.NewWriter(&linked)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "blobs", Linkname: "/etc", Typeflag: tar.TypeSymlink, Mode: 0o777}), w.Close()); err != nil {
		t.Fatal(err)
	}
	content := []byte("kubelet\x00") // in the config the name is followed by a quote
	for name, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"a blob whose content is not its name":   {change(string(content), "evilcat\x00"), "file kubelet of v1.36.3 for linux/amd64"},
		"a config whose content is not its name": {change(`"name":"small"`, `"name":"smell"`), "content has digest"},
		"a symbolic link":                        {linked.Bytes(), "not a regular file"},
		"a bundle that is cut off":               {good[:len(good)/2], "truncated"},
		"garbage behind it":                      {append(bytes.Clone(good), "garbage"...), "after the end"},
	} {
		for how, args := range map[string][]string{"": nil, ", with the trusted digest": {"--digest", root.String()}} {
			t.Run(name+how, func(t *testing.T) {
				ending, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				bad := put(t, "bad.bundle", string(c.raw))
				out, err := callUntil(ending, append([]string{"serve", bad, "--listen", "127.0.0.1:0"}, args...)...)
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), bad) {
					t.Errorf("got %v", err)
				}
				if out != "" {
					t.Errorf("it was served at %s", out)
				}
			})
		}
	}
}

func TestABundleIsPushedWithWhatFilesSay(t *testing.T) {
	path, root := written(t)
	r := registrytest.New(t, registrytest.Options{WithPassword: true})
	ca := put(t, "ca.pem", r.CA)
	secret := base64.StdEncoding.EncodeToString([]byte(registrytest.User + ":" + registrytest.Password))
	config := put(t, "config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.Host, secret))
	push := func(args ...string) (string, error) {
		return call(t, append([]string{"push", path, r.Host + "/site"}, args...)...)
	}
	name := r.Host + "/site/kubewright-bundle:small@" + root.String()
	for i, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--dry-run"}, []string{name + "  to be pushed", "to send"}},
		{nil, []string{name + "  pushed", ": sent "}},
		{nil, []string{name + "  there already", "sent 0, 0 B"}},
	} {
		out, err := push(append([]string{"--ca-file", ca, "--docker-config", config, "--digest", root.String()}, c.args...)...)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%d: %q is missing in\n%s", i, want, out)
			}
		}
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"without credentials":            {[]string{"--ca-file", ca}, "--docker-config"},
		"without the authority":          {[]string{"--docker-config", config}, "--ca-file"},
		"with credentials that are not":  {[]string{"--docker-config", filepath.Join(t.TempDir(), "x")}, "--docker-config"},
		"with authorities that are not":  {[]string{"--ca-file", filepath.Join(t.TempDir(), "x")}, "--ca-file"},
		"with another digest":            {[]string{"--ca-file", ca, "--digest", "sha256:" + strings.Repeat("0", 64)}, "sha256:000"},
		"with authorities that are none": {[]string{"--ca-file", config}, "PEM"},
	} {
		if _, err := push(c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if raw, err := os.ReadFile(config); err != nil || !strings.Contains(string(raw), secret) {
		t.Errorf("the file with credentials was changed: %s, %v", raw, err)
	}
}
