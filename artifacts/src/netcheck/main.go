// Command netcheck shows from inside a cluster whether the network works: it serves its own name over HTTP, or asks such servers and
// reports who answered, how often nobody did, and the longest time without an answer. It depends on nothing but the standard library.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "netcheck:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: netcheck serve [-listen :8080] | netcheck ask -url URL [-count N] [-interval 100ms]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "ask":
		return ask(ctx, args[1:])
	}
	return fmt.Errorf("there is no command %q; use serve or ask", args[0])
}

// serve answers every request with the host name until it is told to stop. It then goes on for a moment, since the cluster needs
// time to learn that nobody should come here any more.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address to serve on")
	grace := flags.Duration("grace", 5*time.Second, "how long to go on after a signal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find out the host name: %w", err)
	}
	server := &http.Server{Addr: *listen, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name+"\n") // a client that has gone needs no answer
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(*grace)
	defer timer.Stop()
	<-timer.C
	return server.Close()
}

// report is what ask prints at its end.
type report struct {
	Asked      int            `json:"asked"`
	Failed     int            `json:"failed"`
	LongestGap string         `json:"longestGap"`
	Answers    map[string]int `json:"answers"`
	LastError  string         `json:"lastError,omitempty"`
}

// ask asks a URL again and again, each time over a new connection, and prints a report. It fails when any answer was missing.
func ask(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	url := flags.String("url", "", "URL to ask")
	count := flags.Int("count", 0, "how often; 0 means until a signal")
	interval := flags.Duration("interval", 100*time.Millisecond, "time between two questions")
	timeout := flags.Duration("timeout", 2*time.Second, "how long to wait for an answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	r := report{Answers: map[string]int{}}
	var longest time.Duration
	last := time.Now()
	ticker := time.NewTicker(*interval)
	defer ticker.Stop()
	for *count == 0 || r.Asked < *count {
		r.Asked++
		who, err := askOnce(client, *url)
		now := time.Now()
		if err != nil {
			r.Failed++
			r.LastError = err.Error()
		} else {
			r.Answers[who]++
			last = now
		}
		longest = max(longest, now.Sub(last))
		select {
		case <-ctx.Done():
			*count = r.Asked
		case <-ticker.C:
		}
	}
	r.LongestGap = longest.Round(time.Millisecond).String()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d questions got no answer", r.Failed, r.Asked)
	}
	return nil
}

// maxName bounds what is read of an answer.
const maxName = 256

func askOnce(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxName))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answered %s", response.Status)
	}
	return string(body[:max(0, len(body)-1)]), nil
}
