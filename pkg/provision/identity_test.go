package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/pki"
)

// stopped is a clock that only the test moves.
type stopped struct {
	mu sync.Mutex
	at time.Time
}

func (c *stopped) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *stopped) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// An operation that waits for half a day in front of a join behind a long rollout is as good as one that has just begun. The server judges
// certificates with every request, as API servers do (k8s.io/apiserver/pkg/authentication/request/x509).
func TestAnOperationIsKnownToTheClusterForAsLongAsItLasts(t *testing.T) {
	clock := &stopped{at: time.Now()}
	authorities, err := pki.NewAuthorities(clock.now())
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authorities.Cluster.Cert)
	var mu sync.Mutex
	refused, connections := 0, 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: clients, CurrentTime: clock.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			mu.Lock()
			refused++
			mu.Unlock()
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		}
	}))
	serving, err := authorities.Cluster.Sign(pki.Leaf{CommonName: "kube-apiserver", IPs: []string{"127.0.0.1"}, Server: true, Lifetime: 24 * time.Hour}, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(serving.Cert, serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mu.Lock()
			connections++
			mu.Unlock()
		}
	}
	server.StartTLS()
	defer server.Close()

	transport, err := newRenewing(newIdentity(authorities.Cluster, clock.now, "system:masters"), authorities.Cluster.Cert,
		func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	const step = 10 * time.Minute
	for range int(12 * time.Hour / step) {
		resp, err := client.Get("https://127.0.0.1/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		clock.move(step)
	}
	mu.Lock()
	defer mu.Unlock()
	if refused > 0 {
		t.Errorf("%d requests of 72 in 12 hours were Unauthorized", refused)
	}
	if want := int(12 * time.Hour / (operatorLifetime / 2)); connections != want {
		t.Errorf("it took %d connections, want %d: one for each certificate", connections, want)
	}
}

func TestAnIdentityIsSignedWhenItIsNeededAndKeptWhileItIsGood(t *testing.T) {
	clock := &stopped{at: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	authorities, err := pki.NewAuthorities(clock.now())
	if err != nil {
		t.Fatal(err)
	}
	id := newIdentity(authorities.Etcd, clock.now)
	// Half a day passes between planning and the first question.
	clock.move(12 * time.Hour)
	first, err := id.current()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(first.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := clock.now().Add(operatorLifetime); !cert.NotAfter.Equal(want) {
		t.Errorf("it is good until %s, want %s", cert.NotAfter, want)
	}
	clock.move(operatorLifetime/2 - time.Second)
	if again, err := id.current(); err != nil || again != first {
		t.Errorf("another one was signed before half of it was over: %v", err)
	}
	clock.move(time.Second)
	if again, err := id.current(); err != nil || again == first {
		t.Errorf("none was signed when half of it was over: %v", err)
	}
}
