package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLedgerFindsTheLongestTimeWithoutAnAnswer(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	type outcome struct {
		ms int
		ok bool
	}
	for _, c := range []struct {
		name     string
		outcomes []outcome
		end      int
		gap      string
		failed   int
	}{
		{"a slow answer is a gap though nothing failed", []outcome{{100, true}, {1500, true}, {1550, true}}, 1600, "1.4s", 0},
		{"a gap reaches over failures to the next answer", []outcome{{100, true}, {200, false}, {300, false}, {900, true}}, 1000, "800ms", 2},
		{"a gap that lasts at the end counts", []outcome{{100, true}, {200, false}}, 3100, "3s", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(start)
			for _, o := range c.outcomes {
				var err error
				if !o.ok {
					err = errors.New("nobody")
				}
				l.note(at(o.ms), "x", err)
			}
			got := l.report(at(c.end))
			if got.LongestGap != c.gap || got.Failed != c.failed || got.Asked != len(c.outcomes) {
				t.Errorf("report is %+v, want a gap of %s and %d failed", got, c.gap, c.failed)
			}
		})
	}
}

func TestAskTriesTheNextServerWhenOneDoesNotAnswer(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer broken.Close()
	whole := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("me\nmore")) }))
	defer whole.Close()
	for _, c := range []struct {
		name   string
		urls   []string
		failed int
	}{
		{"with another one every question is answered", []string{broken.URL, whole.URL}, 0},
		{"without, every question fails", []string{broken.URL}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"-count", "3", "-interval", "1ms"}
			for _, url := range c.urls {
				args = append(args, "-url", url)
			}
			var out strings.Builder
			err := ask(t.Context(), args, &out)
			if (err != nil) != (c.failed > 0) {
				t.Errorf("ask ended with %v", err)
			}
			var got report
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
				t.Fatal(err)
			}
			if got.Asked != 3 || got.Failed != c.failed || c.failed == 0 && got.Answers["me"] != 3 {
				t.Errorf("report is %+v", got)
			}
		})
	}
}

func TestNothingCountsBeforeTheFirstAnswerThatIsAwaited(t *testing.T) {
	for _, c := range []struct {
		name    string
		await   string
		silence int32
		failed  int
		ends    string
	}{
		{"an answer comes while it is awaited", "10s", 3, 0, "<nil>"},
		{"nothing is awaited", "0s", 3, 3, "3 of 20 questions got no answer"},
		{"no answer comes while it is awaited", "50ms", math.MaxInt32, 0, "no answer within 50ms: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) <= c.silence {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			defer server.Close()
			var out strings.Builder
			err := ask(t.Context(), []string{"-url", server.URL, "-count", "20", "-interval", "5ms", "-await", c.await}, &out)
			if !strings.HasPrefix(fmt.Sprint(err), c.ends) {
				t.Fatalf("it ended with %v, want %s", err, c.ends)
			}
			if strings.HasPrefix(c.ends, "no answer") {
				return
			}
			var got report
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
				t.Fatal(err)
			}
			if got.Asked != 20 || got.Failed != c.failed {
				t.Errorf("report is %+v, want 20 questions of which %d failed", got, c.failed)
			}
		})
	}
}

func TestQuestionsAskedAtTheSameTimeLookTheNameUpEachForItself(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// Nobody answers: each lookup asks for both kinds of addresses, and waits until both questions have.
	var queries atomic.Int32
	all := make(chan struct{})
	dial := alone(func(context.Context, string, string) (net.Conn, error) {
		if queries.Add(1) == 4 {
			close(all)
		}
		select {
		case <-all:
		case <-ctx.Done():
		}
		return nil, errors.New("no DNS server here")
	})
	var questions sync.WaitGroup
	for range 2 {
		questions.Go(func() { _, _ = dial(ctx, "tcp", "name.test:80") })
	}
	select {
	case <-all:
	case <-ctx.Done():
		t.Errorf("%d queries for two questions, want 4", queries.Load())
	}
	cancel()
	questions.Wait()
}
