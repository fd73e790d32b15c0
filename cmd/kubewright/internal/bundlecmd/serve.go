package bundlecmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
	"github.com/kubewright/kubewright/pkg/registry"
)

// shutdownLimit is how long requests that run may take to end.
const shutdownLimit = 30 * time.Second

// minToken is how many characters a token needs to be more than a formality.
const minToken = 16

// serving is what the flags of serve say.
type serving struct {
	// cache remembers which files were verified.
	cache                                          verified.Cache
	listen, certFile, keyFile, tokenFile, expected string
	bases                                          []string
	signature                                      signaturePolicy
}

func newServe(cache verified.Cache) *cobra.Command {
	s := serving{cache: cache}
	cmd := &cobra.Command{
		Use:   "serve FILE",
		Short: "Serve a bundle's images and files, without a cluster or a registry",
		Long: `Serve a bundle straight from its file: a read-only registry with all images under their own names, and every blob below
/blobs/sha256/. Nothing is unpacked or copied. Everything is hashed before anybody can ask, unless that was done before and the file was
not written to since (as with "verify"); a bundle in which anything is wrong is not served. It ends with Ctrl-C, after the requests that run.

  docker pull HOST:PORT/registry.k8s.io/pause:3.10.2
  containerd as a mirror: server and host of hosts.toml are https://HOST:PORT

The first line on standard output is the address.`,
		Example: "  kubewright bundle serve k8s-1.36.bundle --listen 10.0.0.1:5000 --tls-cert-file serve.crt --tls-key-file serve.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return s.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:5000", "address to listen on; port 0 takes any that is free")
	f.StringVar(&s.certFile, "tls-cert-file", "", "PEM file with the certificate to serve with; without one there is no TLS")
	f.StringVar(&s.keyFile, "tls-key-file", "", "PEM file with the certificate's private key")
	f.StringVar(&s.tokenFile, "token-file", "", "file with a token that every request must carry, as bearer token or as password of any user")
	f.StringVar(&s.expected, "digest", "", "the trusted digest, sha256:...")
	baseFlag(cmd, &s.bases)
	s.signature.flags(cmd)
	return cmd
}

// run serves until the context ends.
func (s *serving) run(cmd *cobra.Command, path string) (err error) {
	// What is wrong with the flags is said before a bundle is hashed, which takes a while.
	var o registry.Options
	if s.tokenFile != "" {
		if o.Token, err = readToken(s.tokenFile); err != nil {
			return err
		}
	}
	config, err := s.tls()
	if err != nil {
		return err
	}
	b, _, err := s.signature.open(path, s.bases, s.expected)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := s.verify(cmd, b); err != nil {
		return err
	}
	handler, err := registry.New(o, registry.FromBundle(b))
	if err != nil {
		return err
	}
	listener, scheme, err := s.listener(config)
	if err != nil {
		return err
	}
	server := registry.NewServer(listener, handler)
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s://%s\n%s  %s\n", scheme, server.Addr(), b.Digest(), path); err != nil {
		return errors.Join(err, listener.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	select {
	case err := <-ended:
		return err
	case <-cmd.Context().Done():
	}
	// What the user ended was the serving, not the requests that run.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), shutdownLimit)
	defer cancel()
	err = errors.Join(server.Shutdown(ctx), <-ended)
	stats := handler.Stats()
	fmt.Fprintf(cmd.ErrOrStderr(), "%d requests, %s served\n", stats.Requests, size(stats.Bytes)) //nolint:errcheck // a farewell is not worth failing for
	return err
}

// verify sees that every blob is what its digest says: a registry's clients may believe it.
func (s *serving) verify(cmd *cobra.Command, b *bundle.Bundle) error {
	meter := newMeter(cmd.ErrOrStderr(), "verifying")
	_, err := s.cache.Verify(cmd.Context(), b, verified.Options{VerifyOptions: bundle.VerifyOptions{Expected: digest.Digest(s.expected), Progress: meter.show}})
	meter.end()
	return err
}

// tls is how connections are secured; nil without a certificate.
func (s *serving) tls() (*tls.Config, error) {
	if (s.certFile == "") != (s.keyFile == "") {
		return nil, errors.New("--tls-cert-file and --tls-key-file belong together: give both or none")
	}
	if s.certFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file and --tls-key-file: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// listener listens, with TLS if that is configured, and says by which scheme.
func (s *serving) listener(config *tls.Config) (net.Listener, string, error) {
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return nil, "", fmt.Errorf("--listen: %w", err)
	}
	if config == nil {
		return listener, "http", nil
	}
	return tls.NewListener(listener, config), "https", nil
}

// readToken reads a token out of a file.
func readToken(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := bytes.TrimSpace(raw)
	if len(token) < minToken {
		return "", fmt.Errorf("--token-file: the token in %s has %d characters; %d are needed, so that it cannot be guessed", file, len(token), minToken)
	}
	return string(token), nil
}
