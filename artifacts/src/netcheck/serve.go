package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// lastAnswers bounds how long answers that are under way at the end may take.
const lastAnswers = 5 * time.Second

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
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	return server.Shutdown(last)
}
