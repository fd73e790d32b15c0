package box

import (
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// clock stands in for the time without a byte: it runs out when the test says so.
type clock struct {
	started, restarted atomic.Int32
	expire             atomic.Pointer[func()]
}

func (c *clock) after(d time.Duration, f func()) timer {
	c.started.Add(1)
	c.expire.Store(&f)
	return &running{c, d}
}

type running struct {
	clock *clock
	d     time.Duration
}

func (r *running) Reset(d time.Duration) bool {
	if d != r.d {
		panic("the clock was set to another time")
	}
	r.clock.restarted.Add(1)
	return true
}
func (r *running) Stop() bool { return true }

// drip sends bytes one by one, each when the one before has been taken.
func drip(b *bench, w http.ResponseWriter, r *http.Request, bytes []byte) {
	for i := range bytes {
		_, _ = w.Write(bytes[i : i+1])
		w.(http.Flusher).Flush()
		for b.fetcher.progress().Done != int64(i)+1 && r.Context().Err() == nil {
			runtime.Gosched()
		}
	}
}

// A server that sends a byte now and then is waited for however long the whole takes.
func TestEveryByteBeginsTheIdleTimeAnew(t *testing.T) {
	want := content(20, 1)
	c := &clock{}
	var b *bench
	b = newBench(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "20")
		drip(b, w, r, want)
	})
	b.fetcher.after = c.after
	b.whole(want)
	if started, restarted := c.started.Load(), c.restarted.Load(); started != 1 || restarted != 1+20 {
		t.Errorf("the clock was started %d times and restarted %d times; want once, and for the header and each byte", started, restarted)
	}
}

// One that falls silent is left, wherever it does.
func TestASilentServerIsLeft(t *testing.T) {
	want := content(20, 1)
	for name, sends := range map[string]int{
		"before the header": -1, "after the header": 0, "after one byte a second": 7,
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			var b *bench
			b = newBench(t, func(w http.ResponseWriter, r *http.Request) {
				if sends >= 0 {
					w.Header().Set("Content-Length", "20")
					w.WriteHeader(http.StatusOK)
					w.(http.Flusher).Flush()
					drip(b, w, r, want[:sends])
				}
				(*c.expire.Load())()
				<-r.Context().Done()
			})
			b.fetcher.after = c.after
			b.request.Limits.IdleTimeout = 42 * time.Second
			b.fails(fetch.Unreachable, "the server sent nothing for 42s")
			if got := c.started.Load(); got != maxFruitless {
				t.Errorf("it made %d attempts, want %d", got, maxFruitless)
			}
		})
	}
}

func TestARegistryThatFallsSilentIsLeft(t *testing.T) {
	c := &clock{}
	b := newBench(t, func(_ http.ResponseWriter, r *http.Request) {
		(*c.expire.Load())()
		<-r.Context().Done()
	})
	b.fetcher.after = c.after
	b.request.Source = "oci://" + strings.TrimPrefix(b.server.URL, "https://") + "/bundles:1"
	b.fails(fetch.Unreachable, "the server sent nothing")
}
