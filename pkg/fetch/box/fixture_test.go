package box

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// TestMain lets the test program stand in for kubewright-fetch, so that tests can kill it.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve-one-fetch" {
		os.Exit(Serve(context.Background(), os.Stdin, os.Stdout))
	}
	if len(os.Args) == 3 && os.Args[1] == "die-at-rename" {
		os.Exit(dieAtRename(os.Args[2]))
	}
	os.Exit(m.Run())
}

// content returns n bytes that follow from the seed.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // test data
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

const (
	// size of the file in most tests, and every how many bytes of it are made safe.
	size  = 1 << 20
	every = 64 << 10
)

// bench is a place to fetch to, and a server to fetch from.
type bench struct {
	t       *testing.T
	server  *httptest.Server
	request fetch.Request
	fetcher *fetcher
	// hosts say for a host and port which address it claims to have, and where it really is.
	hosts map[string]host
}

type host struct{ claims, is string }

// newBench starts a server with TLS. A nil handler makes a bench without one.
func newBench(t *testing.T, handler http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{t: t, fetcher: newFetcher(), hosts: map[string]host{}}
	b.request = fetch.Request{
		Protocol: fetch.ProtocolVersion, Destination: filepath.Join(t.TempDir(), "store", "k.bundle"),
		Limits:  fetch.Limits{MaxBytes: 16 * size, CheckpointBytes: every},
		Network: fetch.Network{AllowLoopback: true},
	}
	if handler != nil {
		b.server = b.serve(handler)
		b.request.Source = b.server.URL + "/k.bundle"
	}
	b.fetcher.connect = func(ctx context.Context, network, hostPort string, judge func(netip.Addr) error) (net.Conn, error) {
		to, ok := b.hosts[hostPort]
		if !ok {
			return connect(ctx, network, hostPort, judge)
		}
		if err := judge(netip.MustParseAddr(to.claims)); err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, to.is)
	}
	return b
}

// serve starts one more server with TLS, which is trusted.
func (b *bench) serve(handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = nil
	server.StartTLS()
	b.t.Cleanup(server.Close)
	b.request.Network.CABundle += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return server
}

func (b *bench) fetch() (fetch.Result, error) { return b.fetcher.fetch(b.t.Context(), b.request) }

// whole fetches and expects exactly these bytes in place, and nothing beside them.
func (b *bench) whole(want []byte) fetch.Result {
	b.t.Helper()
	result, err := b.fetch()
	if err != nil {
		b.t.Fatalf("the fetch failed (%s): %v", fetch.KindOf(err), err)
	}
	got, err := os.ReadFile(b.request.Destination)
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		b.t.Fatalf("the file has %d bytes and is not the %d bytes that were served", len(got), len(want))
	}
	if result.SHA256 != sumOf(want) || result.Size != int64(len(want)) {
		b.t.Errorf("the result speaks of another file: %+v", result)
	}
	b.left("k.bundle")
	return result
}

// fails fetches and expects a failure of a kind that says something, and nothing in place.
func (b *bench) fails(kind fetch.Kind, says string) {
	b.t.Helper()
	_, err := b.fetch()
	if err == nil {
		b.t.Fatal("the fetch succeeded")
	}
	if fetch.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		b.t.Errorf("got %s: %v\nwant %s: ...%s...", fetch.KindOf(err), err, kind, says)
	}
	if _, err := os.Stat(b.request.Destination); !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("something stands in the file's place: %v", err)
	}
}

// left expects exactly these names in the destination's directory.
func (b *bench) left(names ...string) {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(b.request.Destination))
	if err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		b.t.Errorf("the directory holds %v, want %v", got, names)
	}
}

// partSize is how many bytes of the file are in the part; zero when there is none.
func (b *bench) partSize() int64 {
	info, err := os.Stat(b.request.Destination + fetch.PartSuffix)
	if err != nil {
		return 0
	}
	return info.Size()
}

// file serves bytes as a good server does: with a strong ETag, ranges and If-Range.
func file(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+sumOf(b)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// cut serves the first n bytes of what is asked for, claims to serve all, and breaks the connection.
func cut(w http.ResponseWriter, r *http.Request, b []byte, n int) {
	file(b)(&cutter{ResponseWriter: w, left: n}, r)
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) <= c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	if _, err := c.ResponseWriter.Write(b[:c.left]); err != nil {
		return 0, err
	}
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// reset serves the first n bytes of what is asked for, claims to serve all, and breaks the connection with a reset (RST) instead of an
// orderly end. It waits until taken, because a reset may throw away what the other side has not read yet.
func reset(w http.ResponseWriter, r *http.Request, b []byte, n int, taken func() bool) {
	conn := hijacked(w)
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: %q\r\n\r\n", len(b), sumOf(b))
	if _, err := conn.Write(b[:n]); err != nil {
		return
	}
	for !taken() && r.Context().Err() == nil {
		runtime.Gosched()
	}
	resetConn(conn)
}

// hijacked takes a request's connection over from its server.
func hijacked(w http.ResponseWriter) net.Conn {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	return conn
}

// resetConn ends a connection by a reset: with no time to linger the kernel sends RST, and below TLS no farewell either.
func resetConn(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		panic(err)
	}
	conn.Close()
}
