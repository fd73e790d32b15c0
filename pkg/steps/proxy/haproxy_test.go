package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/steps/proxy"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// apiServer stands for one: it answers with its name, and on /readyz with what the test wants.
type apiServer struct {
	name  string
	ready atomic.Pointer[string]
	*httptest.Server
}

// What /readyz of Kubernetes says.
const (
	isReady    = "ok"
	isEnding   = "[+]ping ok\n[+]etcd ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"
	etcdIsGone = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"
)

func startAPIServer(t *testing.T, address, name string) *apiServer {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(desired.APIServerPort)))
	if err != nil {
		t.Fatal(err)
	}
	a := &apiServer{name: name}
	a.say(isReady)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			_, _ = fmt.Fprint(w, name)
			return
		}
		text := *a.ready.Load()
		if text != isReady {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = fmt.Fprint(w, text)
	}))
	_ = a.Listener.Close()
	a.Listener = listener
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *apiServer) say(text string) { a.ready.Store(&text) }

// session is one connection through the proxy.
type session struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(endpoint string) (*session, error) {
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(context.Background(), "tcp", endpoint) //nolint:gosec // who answers is what the test asks
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, in: bufio.NewReader(conn)}, nil
}

// ask returns the name of the server that answers.
func (s *session) ask() (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprint(s.conn, "GET / HTTP/1.1\r\nHost: api\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	name := make([]byte, answer.ContentLength)
	_, err = answer.Body.Read(name)
	if err != nil && answer.ContentLength != int64(len(name)) {
		return "", err
	}
	return string(name), nil
}

// eventually waits for a condition that the proxy brings about by itself within seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// startProxy runs the haproxy of the bundle on the configuration of a worker, or of one of the control planes, and returns its endpoint.
func startProxy(t *testing.T, self string, servers map[string]string) string {
	t.Helper()
	return startProxyTo(t, self, servers, func(config []byte) []byte { return config })
}

// startProxyTo runs it on a configuration that the test has changed.
func startProxyTo(t *testing.T, self string, servers map[string]string, change func([]byte) []byte) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := desired.Endpoint{Type: v1alpha1.LocalProxyEndpoint, Host: "127.0.0.1", Port: free.Addr().(*net.TCPAddr).Port}
	_ = free.Close()
	var controlPlanes []desired.Host
	for name, address := range servers {
		controlPlanes = append(controlPlanes, desired.Host{Name: name, Address: address})
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "proxy.cfg")
	if err := os.WriteFile(config, change(proxy.Config(endpoint, controlPlanes, self)), 0o600); err != nil {
		t.Fatal(err)
	}
	command, err := testenv.Tool(t.Context(), dir, "haproxy", "-db", "-f", config)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = t.Output(), t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return endpoint.String()
}

// answers tells which servers answer new sessions.
func answers(endpoint string, times int) map[string]int {
	got := map[string]int{}
	for range times {
		s, err := dial(endpoint)
		if err != nil {
			got["nobody"]++
			continue
		}
		name, err := s.ask()
		if err != nil {
			name = "nobody"
		}
		got[name]++
		_ = s.conn.Close()
	}
	return got
}

func TestWhoIsAboutToEndKeepsSessionsAndWhoDoesNotWorkLosesThem(t *testing.T) {
	first, second := startAPIServer(t, "127.0.0.2", "first"), startAPIServer(t, "127.0.0.3", "second")
	endpoint := startProxy(t, "w1", map[string]string{"first": "127.0.0.2", "second": "127.0.0.3"})
	const times = 6
	both := func() bool {
		got := answers(endpoint, times)
		return got["first"] > 0 && got["second"] > 0 && got["nobody"] == 0
	}
	onlySecond := func() bool { return answers(endpoint, times)["second"] == times }
	toFirst := func() (s *session) {
		eventually(t, "a session leads to the first", func() bool {
			var err error
			if s, err = dial(endpoint); err != nil {
				return false
			}
			name, err := s.ask()
			return err == nil && name == "first"
		})
		t.Cleanup(func() { _ = s.conn.Close() })
		return s
	}

	eventually(t, "both answer", both)
	held := toFirst()
	first.say(isEnding)
	eventually(t, "new sessions avoid the one that is about to end", onlySecond)
	if name, err := held.ask(); err != nil || name != "first" {
		t.Errorf("the session to the one that is about to end: %q, %v", name, err)
	}

	first.say(isReady)
	eventually(t, "both answer again", both)
	held = toFirst()
	first.say(etcdIsGone)
	eventually(t, "the session to the one that does not work is closed", func() bool { _, err := held.ask(); return err != nil })
	eventually(t, "new sessions avoid it", onlySecond)

	first.say(isReady)
	eventually(t, "both answer once more", both)
	second.Close()
	eventually(t, "nobody is led to the one that is gone", func() bool { return answers(endpoint, times)["first"] == times })
}

// startMember stands for a member of etcd: it says its name to whoever comes, and keeps the connection.
func startMember(t *testing.T, address, name string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(desired.EtcdPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = fmt.Fprintln(conn, name)
		}
	}()
	return listener
}

// member returns the name of the member that a new connection leads to.
func member() string {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(desired.EtcdProxyPort)), 5*time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close() //nolint:errcheck // only read from
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return ""
	}
	name, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(name)
}

func TestAnAPIServerIsLedToMembersElsewhereAndPastOneThatIsGone(t *testing.T) {
	startMember(t, "127.0.0.2", "own")
	second := startMember(t, "127.0.0.3", "second")
	startMember(t, "127.0.0.4", "third")
	startProxy(t, "own", map[string]string{"own": "127.0.0.2", "second": "127.0.0.3", "third": "127.0.0.4"})
	seen := map[string]int{}
	eventually(t, "both other members are led to", func() bool {
		seen[member()]++
		return seen["second"] > 0 && seen["third"] > 0
	})
	if seen["own"] > 0 {
		t.Error("a connection led back to the member beside the proxy")
	}
	_ = second.Close()
	for range 6 {
		if name := member(); name != "third" {
			t.Errorf("with the second gone, a connection led to %q", name)
		}
	}
}

func TestAnAPIServerAloneIsLedToItsOwnMember(t *testing.T) {
	startMember(t, "127.0.0.2", "own")
	startProxy(t, "own", map[string]string{"own": "127.0.0.2"})
	eventually(t, "the own member is led to", func() bool { return member() == "own" })
}

// authentication is what docs/cluster.md says about anonymous requests.
const authentication = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
    - path: /livez
    - path: /readyz
    - path: /healthz
`

func TestAnAPIServerThatShutsOutAnonymousRequestsIsLedTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, []byte(authentication), 0o600); err != nil {
		t.Fatal(err)
	}
	env := testenv.New(t, testenv.WithArgument("authentication-config", file))
	at := strings.TrimPrefix(env.Config.Host, "https://")
	endpoint := startProxyTo(t, "w1", map[string]string{"cp1": "127.0.0.1"}, func(config []byte) []byte {
		return bytes.ReplaceAll(config, []byte("127.0.0.1:"+strconv.Itoa(desired.APIServerPort)), []byte(at))
	})
	config := rest.CopyConfig(env.Config)
	config.Host = "https://" + endpoint
	eventually(t, "the API server is led to", func() bool {
		return kubernetes.NewForConfigOrDie(config).Discovery().RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error() == nil
	})
	_, err := kubernetes.NewForConfigOrDie(rest.AnonymousClientConfig(config)).Discovery().ServerVersion()
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("an anonymous request for the version: %v, want it refused", err)
	}
}
