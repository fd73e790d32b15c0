package resource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// probeTry bounds one try.
	probeTry = 5 * time.Second
	// probeInterval is between two tries of an Apply that waits.
	probeInterval = 100 * time.Millisecond
)

func checkProbe(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	if err := probe(ctx, t, r.Probe); err != nil {
		return needed(err.Error())
	}
	return done()
}

// applyProbe changes nothing: it tries until the probe answers or its time is over.
func applyProbe(ctx context.Context, t *Task, r *api.Resource) error {
	wait := time.Duration(r.Probe.TimeoutSeconds) * time.Second
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		err := probe(ctx, t, r.Probe)
		if err == nil {
			return nil
		}
		select {
		case <-bounded.Done():
			return &api.ResourceError{Reason: api.ReasonTimeout, Retryable: true, Message: fmt.Sprintf("no right answer within %s: %v", wait, err)}
		case <-tick.C:
		}
	}
}

func probe(ctx context.Context, t *Task, p *api.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, probeTry)
	defer cancel()
	if p.Path != "" {
		fi, err := os.Stat(t.Sys.Path(p.Path))
		switch {
		case sys.Missing(err):
			return fmt.Errorf("%s does not exist", p.Path)
		case err != nil:
			return err
		case p.PathType == api.ProbeFile && fi.IsDir():
			return fmt.Errorf("%s is a directory, not a file", p.Path)
		case p.PathType == api.ProbeDirectory && !fi.IsDir():
			return fmt.Errorf("%s is not a directory", p.Path)
		}
		return nil
	}
	if p.Name != "" {
		// Go's own resolver reads /etc/hosts and asks the servers of /etc/resolv.conf, as that of the API's clients does.
		_, err := net.DefaultResolver.LookupHost(ctx, p.Name)
		return err
	}
	if p.TCP != "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.TCP)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CAFile != "" {
		pem, err := os.ReadFile(t.Sys.Path(p.CAFile))
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", p.CAFile)
		}
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	want := p.ExpectStatus
	if want == 0 {
		want = http.StatusOK
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s answered %d instead of %d", p.URL, resp.StatusCode, want)
	}
	return nil
}
