// Command netcheck shows whether a network works: it serves its own name over HTTP, or asks such servers, or an API server, and reports
// how often nobody answered, and the longest time without an answer. It depends on nothing but the standard library.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = "usage: netcheck serve [-listen :8080] | netcheck ask -url URL [-url URL] [-count N] [-interval 100ms] [-every 1s]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "netcheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "ask":
		return ask(ctx, args[1:], os.Stdout)
	}
	return fmt.Errorf("there is no command %q; %s", args[0], usage)
}
