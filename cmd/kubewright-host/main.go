// Command kubewright-host is put on a host by digest and run over SSH while an operation lasts. "serve" speaks typed
// requests over the standard streams; "run NAME" is the wrapper of one detached command inside its transient unit; "backup" is
// the command that takes a backup of etcd.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/reset"
	"github.com/kubewright/kubewright/pkg/host/server"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubewright-host:", err)
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	machine := &sys.System{Runner: sys.Exec{}, Now: time.Now}
	switch command {
	case "serve":
		return serve(machine, args)
	case "run":
		if len(args) != 1 || (api.Resource{Command: &api.Command{Name: args[0], Argv: []string{"/x"}, Key: "x"}}).Validate() != nil {
			return 2, errors.New("usage: kubewright-host run NAME")
		}
		return detach.Wrap(machine, args[0])
	case "backup":
		return takeBackup(machine, args, os.Stdout)
	case "version":
		fmt.Printf("kubewright-host protocol %d\n", api.ProtocolVersion)
		return 0, nil
	}
	return 2, fmt.Errorf("unknown command %q: use serve, run NAME, backup or version", command)
}

func serve(machine *sys.System, args []string) (int, error) {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	peerFlag := flags.String("peer", "", "address the SSH connection came from (sudo drops the variable that says it)")
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	peer, err := peerAddress(*peerFlag)
	if err != nil {
		return 2, err
	}
	helper, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("find the helper's own file: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	defer stop()
	streams, err := openStdio()
	if err != nil {
		return 1, err
	}
	err = server.Serve(ctx, streams, server.Options{Sys: machine, Helper: helper, Peer: peer, Kernel: reset.Machine{}})
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// peerAddress validates the flag, or takes the client's address from sshd's environment.
func peerAddress(flagged string) (string, error) {
	if flagged != "" {
		a, err := netip.ParseAddr(flagged)
		if err != nil {
			return "", fmt.Errorf("--peer must be an IP address: %w", err)
		}
		return a.String(), nil
	}
	for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT"} {
		if f := strings.Fields(os.Getenv(name)); len(f) > 0 {
			if a, err := netip.ParseAddr(f[0]); err == nil {
				return a.String(), nil
			}
		}
	}
	return "", nil
}

// stdio is the two standard streams as one connection.
type stdio struct{ in, out *os.File }

// openStdio makes reads and writes of the streams end when they are closed: on blocking descriptors they would hang, and
// with them a helper whose controller fell silent.
func openStdio() (stdio, error) {
	for _, fd := range []int{syscall.Stdin, syscall.Stdout} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return stdio{}, fmt.Errorf("prepare the standard streams: %w", err)
		}
	}
	return stdio{in: os.NewFile(uintptr(syscall.Stdin), "stdin"), out: os.NewFile(uintptr(syscall.Stdout), "stdout")}, nil
}

func (s stdio) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }
