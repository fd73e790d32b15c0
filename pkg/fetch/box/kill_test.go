package box

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// TestKilledAtAnyMoment kills the real program again and again while it fetches, at moments that a seed chooses, until one run comes
// through. Nothing is ever in the file's place but the whole file, and no run fetches again what an earlier one had made safe.
func TestKilledAtAnyMoment(t *testing.T) {
	const whole = 4 << 20
	want := content(whole, 7)
	random := rand.New(rand.NewPCG(42, 0)) //nolint:gosec // test data
	var sent, next atomic.Int64
	var written atomic.Bool
	victim := make(chan struct{}, 1)
	var b *bench
	b = newBench(t, func(w http.ResponseWriter, r *http.Request) {
		var start int64
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
		file(want)(&meter{ResponseWriter: w, sent: &sent, limit: next.Load(), reached: func(served int64) {
			// Death comes at once, while bytes are on their way, or when they have been written.
			for written.Load() && b.partSize() < start+served && r.Context().Err() == nil {
				runtime.Gosched()
			}
			victim <- struct{}{}
			<-r.Context().Done()
		}}, r)
	})
	b.request.Expect.SHA256 = sumOf(want)
	document, err := json.Marshal(b.request)
	check(t, err)
	rounds, from := 0, int64(0)
	for ; ; rounds++ {
		// Up to a third of the file more, and then death: while bytes are on their way, being written or made safe, or the file is
		// put in its place.
		next.Store(sent.Load() + 1 + random.Int64N(whole/3))
		written.Store(rounds%3 > 0)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "serve-one-fetch") //nolint:gosec // this very program
		cmd.Env = []string{}
		cmd.Stdin = bytes.NewReader(document)
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		last := make(chan fetch.Message, 1)
		go func() {
			var m fetch.Message
			for lines := bufio.NewScanner(out); lines.Scan(); {
				m = fetch.Message{}
				if json.Unmarshal(lines.Bytes(), &m) != nil {
					t.Errorf("it said %q", lines.Text())
				}
			}
			last <- m
		}()
		var m fetch.Message
		select {
		case <-victim:
			check(t, cmd.Process.Kill())
			m = <-last
		case m = <-last:
		}
		_ = cmd.Wait()
		if m.Failure != nil {
			t.Fatalf("it failed: %v", m.Failure)
		}
		if content, err := os.ReadFile(b.request.Destination); err == nil && !bytes.Equal(content, want) {
			t.Fatalf("after %d rounds something else is in the file's place", rounds)
		}
		if m.Result != nil {
			break
		}
		safe := markOf(t, b)
		if safe < from {
			t.Fatalf("round %d made %d bytes safe, an earlier one %d", rounds, safe, from)
		}
		from = safe
	}
	b.left("k.bundle")
	if rounds < 3 {
		t.Errorf("it was killed %d times only", rounds)
	}
	// A kill loses what was received since the last checkpoint, and what was on its way in the buffers of both ends.
	const buffers = 4 << 20
	if most := int64(whole + rounds*(every+buffers)); sent.Load() > most {
		t.Errorf("%d bytes were sent for a file of %d", sent.Load(), whole)
	}
	t.Logf("killed %d times; %d bytes were sent for %d", rounds, sent.Load(), whole)
}

// markOf is how many bytes are safe.
func markOf(t *testing.T, b *bench) int64 {
	t.Helper()
	raw, err := os.ReadFile(b.request.Destination + fetch.MarkSuffix)
	if os.IsNotExist(err) {
		return 0
	}
	check(t, err)
	var m mark
	check(t, json.Unmarshal(raw, &m))
	return m.Safe
}

// meter counts what is sent, and stops at a limit over all requests.
type meter struct {
	http.ResponseWriter
	sent    *atomic.Int64
	limit   int64
	served  int64
	reached func(served int64)
}

func (m *meter) Write(b []byte) (int, error) {
	n := int(min(int64(len(b)), m.limit-m.sent.Load()))
	n, err := m.ResponseWriter.Write(b[:max(n, 0)])
	m.sent.Add(int64(n))
	m.served += int64(n)
	if n < len(b) && err == nil {
		m.ResponseWriter.(http.Flusher).Flush()
		m.reached(m.served)
		return n, fmt.Errorf("killed")
	}
	return n, err
}

// It is told to stop by a signal, keeps what it has, and does not say a secret anywhere.
func TestTheProgramTellsNoSecrets(t *testing.T) {
	b := newBench(t, status(http.StatusForbidden))
	b.request.Credentials = fetch.Credentials{Username: "u", Password: "hunter2"}
	document, err := json.Marshal(b.request)
	check(t, err)
	for title, in := range map[string][]byte{
		"when it is refused":                     document,
		"when the request cannot be understood":  append([]byte(`{"hunter2":1,`), document[1:]...),
		"when the request is cut":                document[:len(document)-3],
		"when the request is no document at all": []byte("hunter2"),
	} {
		t.Run(title, func(t *testing.T) {
			var out bytes.Buffer
			if code := Serve(t.Context(), bytes.NewReader(in), &out); code != 1 {
				t.Errorf("it ended with %d", code)
			}
			if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), `"failure"`) {
				t.Errorf("it said %s", out.String())
			}
		})
	}
}
