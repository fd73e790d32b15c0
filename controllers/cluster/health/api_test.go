package health_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
)

// oneSecret is an API server with a single Secret; nil is none. With err it does not answer.
type oneSecret struct {
	client.Reader
	secret *corev1.Secret
	err    error
}

func (o oneSecret) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if o.err != nil {
		return o.err
	}
	if o.secret == nil || client.ObjectKeyFromObject(o.secret) != key {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	o.secret.DeepCopyInto(into.(*corev1.Secret))
	return nil
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// authority makes a CA and a kubeconfig to be completed with a server.
func authority(t *testing.T) (pki.KeyPair, *clientcmdapi.Config) {
	t.Helper()
	ca := must[*pki.Authorities](t)(pki.NewAuthorities(time.Now())).Cluster
	admin := must[pki.KeyPair](t)(ca.Sign(pki.Leaf{CommonName: "admin", Lifetime: time.Hour}, time.Now()))
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{CertificateAuthorityData: ca.Cert}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: admin.Cert, ClientKeyData: admin.Key}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	return ca, config
}

func serve(t *testing.T, ca pki.KeyPair, lifetime time.Duration, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	leaf := must[pki.KeyPair](t)(ca.Sign(pki.Leaf{CommonName: "api", DNSNames: []string{"kubernetes"}, IPs: []string{"127.0.0.1"}, Server: true, Lifetime: time.Hour}, time.Now().Add(lifetime-time.Hour)))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{must[tls.Certificate](t)(tls.X509KeyPair(leaf.Cert, leaf.Key))},
		ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func checkerFor(t *testing.T, config *clientcmdapi.Config) *health.API {
	t.Helper()
	content := must[[]byte](t)(clientcmd.Write(*config))
	return &health.API{
		Secrets: oneSecret{secret: capi.KubeconfigSecret("fleet", "demo", content, metav1.OwnerReference{})},
		Timeout: 300 * time.Millisecond, Addresses: addresses.Local(),
	}
}

func nodeJSON(name, ready, version string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q},"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":%q}],"nodeInfo":{"kubeletVersion":%q}}}`,
		name, ready, version)
}

func TestNodesAreCountedPageByPage(t *testing.T) {
	ca, config := authority(t)
	server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/readyz":
		case r.URL.Path != "/api/v1/nodes" || r.URL.Query().Get("limit") == "":
			http.NotFound(w, r)
		case r.URL.Query().Get("continue") == "":
			fmt.Fprintf(w, `{"metadata":{"continue":"next&one"},"items":[%s,%s]}`, nodeJSON("cp1", "True", "v1.36.3"), nodeJSON("w2", "Unknown", "v1.36.3"))
		case r.URL.Query().Get("continue") == "next&one":
			fmt.Fprintf(w, `{"metadata":{},"items":[%s]}`, nodeJSON("w1", "True", "v1.35.4"))
		default:
			http.Error(w, "gone", http.StatusGone)
		}
	})
	config.Clusters["c"].Server = server.URL
	nodes, err := checkerFor(t, config).Check(t.Context(), demo)
	if want := (health.Nodes{Joined: 3, Ready: 1, Wrong: "w1 runs v1.35.4, w2 is not ready"}); err != nil || nodes != want {
		t.Errorf("found %+v, %v; want %+v", nodes, err, want)
	}
}

func TestAPoolThatLagsByItsSpecIsWell(t *testing.T) {
	ca, config := authority(t)
	server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			fmt.Fprintf(w, `{"items":[%s,%s,%s]}`, nodeJSON("cp1", "True", "v1.36.3"), nodeJSON("w1", "True", "v1.35.4"), nodeJSON("w2", "True", "v1.36.3"))
		}
	})
	config.Clusters["c"].Server = server.URL
	target := demo
	target.Lagging = map[string]string{"w1": "v1.35.4", "w2": "v1.35.4"}
	nodes, err := checkerFor(t, config).Check(t.Context(), target)
	if want := (health.Nodes{Joined: 3, Ready: 2, Wrong: "w2 runs v1.36.3"}); err != nil || nodes != want {
		t.Errorf("found %+v, %v; want %+v", nodes, err, want)
	}
}

func TestANodeThatAnOperationLeftCordonedIsNamedAndOneThatAPersonCordonedIsNot(t *testing.T) {
	ca, config := authority(t)
	server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		cordoned := func(name, annotations string) string {
			return strings.Replace(strings.Replace(nodeJSON(name, "True", "v1.36.3"), `"status":{`, `"spec":{"unschedulable":true},"status":{`, 1),
				`"metadata":{`, `"metadata":{"annotations":{`+annotations+`},`, 1)
		}
		fmt.Fprintf(w, `{"items":[%s,%s,%s]}`, nodeJSON("cp1", "True", "v1.36.3"), cordoned("w1", ""), cordoned("w2", `"kubewright.io/cordoned-by":"demo-upgrade-g2-1"`))
	})
	config.Clusters["c"].Server = server.URL
	nodes, err := checkerFor(t, config).Check(t.Context(), demo)
	if want := (health.Nodes{Joined: 3, Ready: 2, Wrong: "w2 takes no pods since demo-upgrade-g2-1 cordoned it"}); err != nil || nodes != want {
		t.Errorf("found %+v, %v; want %+v", nodes, err, want)
	}
}

func TestManyNodesThatAreNotReadyAreNotAllNamed(t *testing.T) {
	ca, config := authority(t)
	server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		var items []string
		for i := range 8 {
			items = append(items, nodeJSON(fmt.Sprintf("w%d", i), "False", ""))
		}
		fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
	})
	config.Clusters["c"].Server = server.URL
	nodes, err := checkerFor(t, config).Check(t.Context(), demo)
	if err != nil || nodes.Joined != 8 || nodes.Ready != 0 || !strings.HasSuffix(nodes.Wrong, "w4 is not ready, and 3 more") {
		t.Errorf("found %+v, %v", nodes, err)
	}
}

func TestWhyAClusterDoesNotAnswerIsSaidInTheSameWordsEachTime(t *testing.T) {
	for name, test := range map[string]struct {
		handler  http.HandlerFunc
		lifetime time.Duration
		foreign  bool
		closed   bool
		says     string
	}{
		"it is not ready": {handler: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "[+]ping ok\n[-]poststarthook/rbac failed: at 12:01\n[-]etcd failed: x", http.StatusInternalServerError)
		}, says: "SERVER answered /readyz with 500: etcd, poststarthook/rbac failed"},
		"it knows nobody": {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
			says: "SERVER answered /readyz with 401"},
		"it sends us elsewhere": {handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, says: "SERVER answered /readyz with 302"},
		"it hangs": {handler: func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // coming to an end would be an answer
		},
			says: "SERVER did not answer within 300ms"},
		"it breaks off": {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			says: "SERVER: EOF"},
		"its list is none": {handler: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				fmt.Fprint(w, "<html>")
			}
		}, says: "its nodes cannot be listed: SERVER read the list of nodes: invalid character"},
		"nobody listens":             {closed: true, says: "SERVER: dial: connect: connection refused"},
		"its certificate is old":     {lifetime: -time.Minute, says: "the certificate of SERVER has expired or is not valid yet"},
		"it is not the one expected": {foreign: true, says: "x509: certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			ca, config := authority(t)
			if test.foreign {
				ca, _ = authority(t)
			}
			if test.lifetime == 0 {
				test.lifetime = time.Hour
			}
			server := serve(t, ca, test.lifetime, test.handler)
			if test.closed {
				server.Close()
			}
			config.Clusters["c"].Server = server.URL
			checker := checkerFor(t, config)
			_, first := checker.Check(t.Context(), demo)
			_, second := checker.Check(t.Context(), demo)
			if first == nil || second == nil || first.Error() != second.Error() {
				t.Fatalf("first %v, then %v", first, second)
			}
			if want := strings.ReplaceAll(test.says, "SERVER", server.URL); !strings.Contains(first.Error(), want) {
				t.Errorf("says %q, want %q", first, want)
			}
			if _, ok := errors.AsType[*health.CredentialsError](first); ok {
				t.Errorf("%v is not about credentials", first)
			}
		})
	}
}

func TestOnlyAKubeconfigWithItsCertificatesInsideIsUsed(t *testing.T) {
	asked := false
	for name, change := range map[string]func(*clientcmdapi.Config){
		"a program to run": func(c *clientcmdapi.Config) {
			c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{Command: "true", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: "Never"}}
		},
		"files of this machine": func(c *clientcmdapi.Config) {
			c.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificate: "/etc/hostname", ClientKey: "/etc/hostname"}
		},
		"a server that is not verified": func(c *clientcmdapi.Config) {
			c.Clusters["c"].CertificateAuthorityData, c.Clusters["c"].InsecureSkipTLSVerify = nil, true
		},
		"no TLS": func(c *clientcmdapi.Config) {
			c.Clusters["c"].Server = strings.Replace(c.Clusters["c"].Server, "https", "http", 1)
		},
		"no context": func(c *clientcmdapi.Config) { c.CurrentContext = "" },
	} {
		t.Run(name, func(t *testing.T) {
			ca, config := authority(t)
			server := serve(t, ca, time.Hour, func(http.ResponseWriter, *http.Request) { asked = true })
			config.Clusters["c"].Server = server.URL
			change(config)
			_, err := checkerFor(t, config).Check(t.Context(), demo)
			if _, ok := errors.AsType[*health.CredentialsError](err); !ok || !strings.Contains(err.Error(), "fleet/demo-kubeconfig") {
				t.Errorf("got %v", err)
			}
		})
	}
	if asked {
		t.Error("a server was asked")
	}
	_, err := (&health.API{Secrets: oneSecret{}}).Check(t.Context(), demo)
	if _, ok := errors.AsType[*health.CredentialsError](err); !ok {
		t.Errorf("without a Secret: %v", err)
	}
}

func TestAnAPIServerAtAnAddressThatIsNotAllowedIsNotAsked(t *testing.T) {
	asked := false
	ca, config := authority(t)
	config.Clusters["c"].Server = serve(t, ca, time.Hour, func(http.ResponseWriter, *http.Request) { asked = true }).URL
	checker := checkerFor(t, config)
	checker.Addresses = addresses.Policy{}
	_, err := checker.Check(t.Context(), demo)
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1 is this very machine, which is not connected to") || !strings.Contains(err.Error(), "--allow-network") {
		t.Errorf("got %v", err)
	}
	if asked {
		t.Error("it was asked")
	}
}

// listed gives ways as they are.
type listed [][]health.Way

func (l listed) Ways(context.Context, client.ObjectKey) ([][]health.Way, error) { return l, nil }

func TestAClusterIsAskedOverAnyWayThatLeadsThere(t *testing.T) {
	closed := func(name string) health.Way {
		return health.Way{Name: name, Timeout: time.Second, Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }}
	}
	for _, tc := range []struct {
		name string
		// ways are groups of names; those that begin with "open" lead to an API server.
		ways [][]string
		via  string
		says []string
	}{
		{"another control plane", [][]string{{"cp-1", "open cp-2", "open cp-3"}, {"open cp-1 through SSH"}}, "open cp-2", nil},
		{"SSH when nothing else leads there", [][]string{{"cp-1", "cp-2"}, {"cp-1 through SSH", "open cp-2 through SSH"}}, "open cp-2 through SSH", nil},
		{"none", [][]string{{"cp-1"}, {"cp-1 through SSH"}}, "", []string{"nor does any control plane", "cp-1: connection refused", "cp-1 through SSH: connection refused"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca, config := authority(t)
			server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					fmt.Fprintf(w, `{"items":[%s]}`, nodeJSON("cp1", "True", "v1.36.3"))
				}
			})
			// Nobody listens at the endpoint any more: its control plane is down.
			gone, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			config.Clusters["c"].Server = "https://" + gone.Addr().String()
			_ = gone.Close()
			var groups listed
			for _, names := range tc.ways {
				var group []health.Way
				for _, name := range names {
					w := closed(name)
					if strings.HasPrefix(name, "open") {
						w.Dial = func(ctx context.Context) (net.Conn, error) {
							return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
						}
					}
					group = append(group, w)
				}
				groups = append(groups, group)
			}
			checker := checkerFor(t, config)
			checker.Ways = groups
			nodes, err := checker.Check(t.Context(), demo)
			for _, text := range tc.says {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
			if len(tc.says) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(nodes.Via, tc.via+" answers; the endpoint does not from here: https://127.0.0.1:") {
				t.Errorf("it went over %q, want %q", nodes.Via, tc.via)
			}
		})
	}
}

func TestAManagementAPIThatDoesNotAnswerSaysNothingAboutClusters(t *testing.T) {
	_, err := (&health.API{Secrets: oneSecret{err: errors.New("connection refused")}}).Check(t.Context(), demo)
	if !errors.Is(err, health.ErrNotChecked) {
		t.Errorf("got %v", err)
	}
}

// twoSecrets is an API server with a kubeconfig and an authority.
type twoSecrets struct {
	client.Reader
	secrets map[string]*corev1.Secret
}

func (s twoSecrets) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	secret := s.secrets[key.Name]
	if secret == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	secret.DeepCopyInto(into.(*corev1.Secret))
	return nil
}

func TestAClusterIsLookedAtWithAnIdentityThatMayDoNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		granted bool
		// list are the groups that asked for nodes, in order.
		list []string
	}{
		"the cluster knows it":                                  {true, []string{"kubewright:health"}},
		"the cluster is of an earlier version and does not yet": {false, []string{"kubewright:health", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			ca, config := authority(t)
			var list []string
			server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
				group := strings.Join(r.TLS.PeerCertificates[0].Subject.Organization, ",")
				switch r.URL.Path {
				case "/readyz":
				case "/api/v1/nodes":
					list = append(list, group)
					if group == "kubewright:health" && !c.granted {
						http.Error(w, "forbidden", http.StatusForbidden)
						return
					}
					fmt.Fprintf(w, `{"items":[%s]}`, nodeJSON("cp1", "True", "v1.36.3"))
				}
			})
			config.Clusters["c"].Server = server.URL
			checker := checkerFor(t, config)
			checker.Secrets = twoSecrets{secrets: map[string]*corev1.Secret{
				"demo-kubeconfig": capi.KubeconfigSecret("fleet", "demo", must[[]byte](t)(clientcmd.Write(*config)), metav1.OwnerReference{}),
				"demo-ca":         capi.KeyPairSecret("fleet", "demo", capi.ClusterCA, ca, metav1.OwnerReference{}),
			}}
			nodes, err := checker.Check(t.Context(), demo)
			if err != nil || nodes.Ready != 1 {
				t.Errorf("found %+v, %v", nodes, err)
			}
			if !slices.Equal(list, c.list) {
				t.Errorf("nodes were listed by %q, want %q", list, c.list)
			}
		})
	}
}
