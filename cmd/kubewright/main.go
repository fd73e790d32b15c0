// Command kubewright builds and keeps Kubernetes clusters; see package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/cli"
	"github.com/kubewright/kubewright/pkg/provision"
)

func main() {
	if err := forbidCoreDumps(); err != nil {
		_, _ = os.Stderr.WriteString("Error: " + err.Error() + "\n")
		os.Exit(cli.ExitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A while after the first signal the usual handling is back: a second one ends the program at once. Not earlier, because one
	// Ctrl-C may arrive twice: from the terminal, and passed on by the program that started this one.
	context.AfterFunc(ctx, func() {
		<-time.After(time.Second)
		stop()
	})
	os.Exit(cli.Run(ctx, cli.Environment{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Runner: provision.NewRunner(runnerOptions())}, os.Args[1:]))
}
