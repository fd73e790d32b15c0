package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/mux"
	"github.com/kubewright/kubewright/pkg/host/server"
)

const planted = "planted-secret-7f3a9c"

func secretFile(path string) api.Resource {
	return api.Resource{ID: "file" + path, File: &api.File{Path: path, Mode: 0o600, Content: []byte(planted), Secret: true}}
}

func kept(path string) api.Resource {
	r := secretFile(path)
	r.File.Keep = true
	return r
}

func commandWithFiles() api.Resource {
	return api.Resource{ID: "command/join", Command: &api.Command{
		Name: "join", Argv: []string{"/bin/true"}, Key: "k",
		Files: []api.CommandFile{{Path: "token", Content: []byte(planted), Secret: true}},
	}}
}

// tap records what goes to the helper.
type tap struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got.Write(p[:n])
	return n, err
}

func (t *tap) holds(text []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.got.Bytes(), text)
}

// connect opens a session with the real helper and records what it receives.
func connect(t *testing.T, h *hosttest.Host) (*client.Client, *tap) {
	t.Helper()
	near, far := net.Pipe()
	tapped := &tap{Conn: far}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(context.Background(), tapped, server.Options{Sys: h.Sys, Helper: "/proc/self/exe", Kernel: h.Kernel, KeepAlive: time.Second})
	}()
	c, err := client.Connect(t.Context(), near, client.Options{Operation: "look", KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return c, tapped
}

func TestALookTellsWhatDiffersAndCarriesNoSecret(t *testing.T) {
	const path = "/etc/kubernetes/pki/ca.key"
	for name, c := range map[string]struct {
		resource api.Resource
		onHost   string
		state    api.State
		why      string
	}{
		"a secret file that is as it should be":                   {secretFile(path), planted, api.Done, ""},
		"a secret file of the same size with other content":       {secretFile(path), strings.Repeat("x", len(planted)), api.Needed, path + " has other content (secret)"},
		"a secret file of another size":                           {secretFile(path), "short", api.Needed, path + " has other content (secret)"},
		"a secret file that is not there":                         {secretFile(path), "", api.Needed, path + " does not exist"},
		"a secret file that stays as it is, whatever it holds":    {kept(path), "other", api.Done, ""},
		"a command whose files hold secrets and that has not run": {commandWithFiles(), "", api.Needed, "it has not been done yet"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			if c.onHost != "" {
				h.Write(t, path, c.onHost)
				if err := os.Chmod(h.Path(path), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			session, tapped := connect(t, h)
			verdicts, err := session.Check(t.Context(), api.CheckRequest{Step: "s", Resources: []api.Resource{c.resource}})
			if err != nil {
				t.Fatal(err)
			}
			if got := verdicts[0]; got.State != c.state || got.Why != c.why {
				t.Errorf("got %s %q, want %s %q", got.State, got.Why, c.state, c.why)
			}
			encoded, err := json.Marshal([]byte(planted))
			if err != nil {
				t.Fatal(err)
			}
			if tapped.holds([]byte(planted)) || tapped.holds(bytes.Trim(encoded, `"`)) {
				t.Error("the host received the secret")
			}
		})
	}
}

func TestTwoLooksShareNoDigestOfASecret(t *testing.T) {
	var seen [][]byte
	for range 2 {
		var sent api.CheckRequest
		c := oldHelper(t, true, func(r api.CheckRequest) api.CheckResponse {
			sent = r
			return api.CheckResponse{Verdicts: []api.Verdict{{State: api.Done}}}
		})
		if _, err := c.Check(t.Context(), api.CheckRequest{Step: "s", Resources: []api.Resource{secretFile("/a")}}); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, sent.Resources[0].File.Seal.MAC)
	}
	if bytes.Equal(seen[0], seen[1]) {
		t.Error("two requests carried the same digest of a secret")
	}
}

// A bundle of an earlier release holds a helper that does not know sealed files.
func TestAHelperOfAnEarlierReleaseComparesSecretsByDigest(t *testing.T) {
	var sent api.CheckRequest
	c := oldHelper(t, false, func(r api.CheckRequest) api.CheckResponse {
		sent = r
		return api.CheckResponse{Verdicts: []api.Verdict{{State: api.Needed, Why: "/a is sha256:1 instead of " + r.Resources[0].File.Blob}}}
	})
	verdicts, err := c.Check(t.Context(), api.CheckRequest{Step: "s", Resources: []api.Resource{secretFile("/a")}})
	if err != nil {
		t.Fatal(err)
	}
	if f := sent.Resources[0].File; len(f.Content) > 0 || f.Seal != nil || f.Size != int64(len(planted)) {
		t.Errorf("it was sent %+v", f)
	}
	if got, want := verdicts[0].Why, "/a has other content (secret)"; got != want {
		t.Errorf("the digests are repeated: %q", got)
	}
}

func TestASealedFileIsNeverWritten(t *testing.T) {
	h := hosttest.New(t)
	session, _ := connect(t, h)
	if _, err := session.AcquireLease(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	sealed := api.Resource{ID: "f", File: &api.File{Path: "/etc/x", Secret: true, Seal: api.NewSeal([]byte("key"), []byte(planted))}}
	_, err := session.Apply(t.Context(), api.ApplyRequest{Step: "s", Owner: api.Owner{ClusterName: "c", ClusterUID: "u"}, Resources: []api.Resource{sealed}}, nil)
	if err == nil || !strings.Contains(err.Error(), "sealed") || h.Read("/etc/x") != "" {
		t.Errorf("got %v, and the file holds %q", err, h.Read("/etc/x"))
	}
}

// oldHelper is a peer that only answers checks.
func oldHelper(t *testing.T, seals bool, answer func(api.CheckRequest) api.CheckResponse) *client.Client {
	t.Helper()
	near, far := net.Pipe()
	session, err := yamux.Server(far, mux.Config(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	routes := http.NewServeMux()
	reply := func(w http.ResponseWriter, out any) { _ = json.NewEncoder(w).Encode(out) }
	routes.HandleFunc("POST "+api.PathHello, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, api.HelloResponse{Protocol: api.ProtocolVersion, Seals: seals})
	})
	routes.HandleFunc("POST "+api.PathCheck, func(w http.ResponseWriter, r *http.Request) {
		var in api.CheckRequest
		data, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(data, &in)
		reply(w, answer(in))
	})
	s := &http.Server{Handler: routes, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(session)
	}()
	c, err := client.Connect(t.Context(), near, client.Options{Operation: "look", KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
		<-done
	})
	return c
}
