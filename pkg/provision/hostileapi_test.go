package provision

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/pkg/desired"
)

// known is what an API server answers that knows nodes and nothing else, as far as a client asks.
var known = map[string]string{
	"/api":    `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis":   `{"kind":"APIGroupList","groups":[]}`,
	"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"nodes","namespaced":false,"kind":"Node","verbs":["list"]}]}`,
}

func TestAHostileAPIServerIsNotListenedToForLongerThanItWasAsked(t *testing.T) {
	list := func(ctx context.Context, k *kube) error { return k.eachNode(ctx, func(*corev1.Node) {}) }
	clientset := func(ctx context.Context, k *kube) error {
		typed, err := k.typed()
		if err != nil {
			return err
		}
		_, err = typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		return err
	}
	raw := func(ctx context.Context, k *kube) error {
		_, err := get(ctx, k.config, "/readyz")
		return err
	}
	page := `{"kind":"NodeList","apiVersion":"v1","metadata":{"continue":"x"},"items":[` + strings.Repeat("{},", 99) + "{}]}"
	for _, test := range []struct {
		name              string
		path, contentType string
		begin, part       string
		status            int
		ask               func(context.Context, *kube) error
		says              string
	}{
		{name: "a list of a million nodes", path: "/api/v1/nodes", begin: `{"kind":"NodeList","apiVersion":"v1","items":[{}`, part: ",{}", ask: list, says: "more than 393216 values"},
		{name: "a node that does not end", path: "/api/v1/nodes", begin: `{"items":[{"metadata":{"name":"`, part: "x", ask: list, says: "more than 16384 KiB"},
		{name: "pages that do not end", path: "/api/v1/nodes", begin: page, ask: list, says: "more than 10000"},
		{name: "empty pages that do not end", path: "/api/v1/nodes", begin: `{"kind":"NodeList","apiVersion":"v1","metadata":{"continue":"x"},"items":[]}`, ask: list, says: "goes on after a page that is empty"},
		{name: "nodes in another form than JSON", path: "/api/v1/nodes", contentType: "application/vnd.kubernetes.protobuf", begin: "k8s\x00", part: "\x12\x00", ask: list, says: "and not JSON"},
		{name: "an error that does not end", path: "/api/v1/nodes", status: http.StatusForbidden, begin: `{"kind":"Status","message":"`, part: "x", ask: list, says: "more than 16384 KiB"},
		{name: "kinds that do not end", path: "/apis", begin: `{"kind":"APIGroupList","groups":[{}`, part: ",{}", ask: list, says: "more than 393216 values"},
		{name: "a list of a million pods", path: "/api/v1/pods", begin: `{"kind":"PodList","apiVersion":"v1","items":[{}`, part: ",{}", ask: clientset, says: "more than 393216 values"},
		{name: "a word that does not end", path: "/readyz", contentType: "text/plain", begin: "o", part: "k", ask: raw, says: "more than 16384 KiB"},
		{name: "another protocol", path: "/readyz", status: http.StatusSwitchingProtocols, ask: raw, says: "another protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != test.path {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, known[r.URL.Path])
					return
				}
				w.Header().Set("Content-Type", test.contentType)
				if test.contentType == "" {
					w.Header().Set("Content-Type", "application/json")
				}
				if test.status == http.StatusSwitchingProtocols {
					w.Header().Set("Connection", "Upgrade")
					w.Header().Set("Upgrade", "x")
				}
				if test.status != 0 {
					w.WriteHeader(test.status)
				}
				if test.part == "" {
					_, _ = io.WriteString(w, test.begin)
					return
				}
				flood(w, test.begin, test.part)
			}))
			defer server.Close()
			k := &kube{config: &rest.Config{Host: server.URL, QPS: -1}, cluster: &desired.Cluster{}}
			bound(k.config)
			var err error
			memory := allocated(func() { err = test.ask(t.Context(), k) })
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it ended with %.500v, want %q", err, test.says)
			}
			if memory > mostTaken {
				t.Errorf("it took %d MiB", memory>>20)
			}
		})
	}
}

func TestTheLargestAnswerOfAnAPIServerThatIsTakenFitsIntoMemory(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"PodList","apiVersion":"v1","items":[{}`+strings.Repeat(",{}", int(apiLimits.Values)/9-4)+"]}")
	}))
	defer server.Close()
	k := &kube{config: &rest.Config{Host: server.URL, QPS: -1}}
	bound(k.config)
	memory := allocated(func() {
		typed, err := k.typed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := typed.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
	if memory > 400<<20 {
		t.Errorf("it took %d MiB", memory>>20)
	}
	t.Logf("%d MiB", memory>>20)
}
