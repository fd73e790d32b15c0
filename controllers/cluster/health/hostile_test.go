package health_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/servingcert"
)

// mostTaken is the memory, garbage included, that one check of a hostile API server may take in all, on both sides of the test: the peak is
// below that.
const mostTaken = 100 << 20

// flood writes a beginning, and then a part again and again until nobody takes it any more or 1 GiB has gone.
func flood(w io.Writer, begin, part string) {
	if _, err := io.WriteString(w, begin); err != nil {
		return
	}
	block := []byte(strings.Repeat(part, 1+(64<<10)/len(part)))
	for sent := 0; sent < 1<<30; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func TestAHostileAPIServerHarmsItsOwnClusterOnly(t *testing.T) {
	for _, test := range []struct {
		name        string
		begin, part string
		next        string
		says        string
	}{
		{name: "a list of nodes that does not end", begin: `{"items":[{}`, part: ",{}", says: "tells of more than 10000 nodes"},
		{name: "a node that does not end", begin: `{"items":[{"metadata":{"name":"`, part: "x", says: "more than 2048 KiB"},
		{name: "a node with a million conditions", begin: `{"items":[{"status":{"conditions":[{}`, part: ",{}", says: "more than 32768 values"},
		{name: "something beside the nodes that does not end", begin: `{"kind":"`, part: "x", says: "more than 2048 KiB"},
		{name: "blanks that do not end", begin: `{`, part: " ", says: "more than 2048 KiB"},
		{name: "lists in lists", begin: `{"items":`, part: "[", says: "exceeded max depth"},
		{name: "pages without nodes that do not end", begin: `{"metadata":{"continue":"x"},"items":[]}`, says: "goes on after a page that is empty"},
		{name: "pages that do not end", begin: `{"metadata":{"continue":"x"},"items":[` + strings.Repeat(`{},`, 99) + `{}]}`, says: "tells of more than 10000 nodes"},
		{name: "a list that is cut off", begin: `{"items":[{}`, says: "EOF"},
		{name: "no list", begin: `"x"`, says: "read the list of nodes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ca, config := authority(t)
			server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/readyz" {
					return
				}
				if test.part == "" {
					_, _ = io.WriteString(w, test.begin)
					return
				}
				flood(w, test.begin, test.part)
			})
			config.Clusters["c"].Server = server.URL
			checker := checkerFor(t, config)
			checker.Timeout = time.Minute
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			nodes, err := checker.Check(t.Context(), demo)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it ended with %+v, %v; want %q", nodes, err, test.says)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > mostTaken {
				t.Errorf("it took %d MiB", taken>>20)
			}
		})
	}
}

func TestWhatIsToldOfNodesIsBounded(t *testing.T) {
	ca, config := authority(t)
	server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		long := strings.Repeat("x", 100000)
		var items []string
		for i := range 90 {
			items = append(items, nodeJSON(fmt.Sprintf("w%02d%s", i, long), "True", long))
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
	})
	config.Clusters["c"].Server = server.URL
	checker := checkerFor(t, config)
	checker.Timeout = time.Minute
	nodes, err := checker.Check(t.Context(), demo)
	if err != nil || nodes.Joined != 90 || len(nodes.Wrong) > 2048 || !strings.HasSuffix(nodes.Wrong, ", and 85 more") {
		t.Errorf("found %d nodes, %d bytes of words, %v", nodes.Joined, len(nodes.Wrong), err)
	}
}

func TestAFloodOfCertificateRequestsLeavesAClusterAvailable(t *testing.T) {
	ca, config := authority(t)
	for name, test := range map[string]struct{ begin, part, says string }{
		"requests that do not end":         {begin: `{"items":[{}`, part: ",{}"},
		"a request that does not end":      {begin: `{"items":[{"metadata":{"name":"`, part: "x", says: "requests for serving certificates cannot be read: "},
		"requests of somebody else's kind": {begin: `{"items":[1]}`, says: "requests for serving certificates cannot be read: "},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, ca, time.Hour, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/v1/nodes":
					_, _ = fmt.Fprintf(w, `{"items":[%s]}`, nodeJSON("w1", "True", "v1.36.3"))
				case strings.HasPrefix(r.URL.Path, "/apis/certificates.k8s.io/"):
					if test.part == "" {
						_, _ = io.WriteString(w, test.begin)
						return
					}
					flood(w, test.begin, test.part)
				}
			})
			config.Clusters["c"].Server = server.URL
			target := demo
			target.Nodes = servingcert.Nodes{"w1": {DNS: []string{"w1"}}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			nodes, err := checkerFor(t, config).Check(t.Context(), target)
			runtime.ReadMemStats(&after)
			if err != nil || nodes.Ready != 1 || !strings.HasPrefix(nodes.Denied, test.says) || test.says == "" && nodes.Denied != "" || len(nodes.Denied) > 2048 {
				t.Errorf("found %+v, %v", nodes, err)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > mostTaken {
				t.Errorf("it took %d MiB", taken>>20)
			}
		})
	}
}
