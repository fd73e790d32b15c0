// Command kubewright-fetch fetches one file, as the request on its standard input says, and tells on its standard output how far it
// is: see docs/fetch.md. The manager starts one for each fetch; it is a program of its own so that what a server answers is read where
// there is nothing to gain: no environment, no credentials but those of the one fetch, and none of the manager's rights.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	// The manager's image holds programs alone, so the public authorities come along. Those of the machine win where there are any.
	_ "golang.org/x/crypto/x509roots/fallback"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/fetch/box"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "kubewright-fetch takes no arguments: it reads a request from its standard input")
		os.Exit(2)
	}
	if err := harden(); err != nil {
		fmt.Fprintln(os.Stderr, "kubewright-fetch:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(box.Serve(ctx, os.Stdin, os.Stdout))
}

// harden gives up what a fetch never needs: memory that others can read, which holds credentials, and programs with more rights.
func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid looking into the memory: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up further rights: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
