package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
	pkgfetch "github.com/kubewright/kubewright/pkg/fetch"
)

// fetchProgram is the program that fetches, beside this one.
const fetchProgram = "kubewright-fetch"

// fetchAndImport brings a bundle from a plain HTTP server on this machine into a store, as the manager does: kubewright-fetch writes it,
// and this process verifies it once, remembers that, and gives it its name.
func fetchAndImport(ctx context.Context, file, scratch string) (_ outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	program := filepath.Join(filepath.Dir(self), fetchProgram)
	if _, err := os.Stat(program); err != nil {
		return outcome{}, fmt.Errorf("build %s beside %s: %w", fetchProgram, self, err)
	}
	url, stop, err := startServer(ctx, self, file)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b, err := bundle.Open(file)
	if err != nil {
		return outcome{}, err
	}
	trusted := b.Digest()
	if err := b.Close(); err != nil {
		return outcome{}, err
	}
	counts := filepath.Join(scratch, "fetch.counts")
	incoming, place := filepath.Join(scratch, "incoming", "k.bundle"), filepath.Join(scratch, "k.bundle")
	start := time.Now()
	before, err := readIO()
	if err != nil {
		return outcome{}, err
	}
	result, err := (&pkgfetch.Program{Path: self, Args: []string{"count", program, counts}}).Fetch(ctx, pkgfetch.Request{
		Source: url, Destination: incoming, Limits: pkgfetch.Limits{MaxBytes: 1 << 40},
		Network: pkgfetch.Network{AllowHTTP: true, AllowLoopback: true},
	}, nil)
	if err != nil {
		return outcome{}, err
	}
	if b, err = bundle.OpenTrusted(incoming, trusted); err != nil {
		return outcome{}, err
	}
	defer b.Close() //nolint:errcheck // read only
	verifiedNow, err := verified.In(filepath.Join(scratch, "verified")).Verify(ctx, b, verified.Options{VerifyOptions: bundle.VerifyOptions{Expected: trusted}})
	if err == nil {
		err = verifiedNow.NotKept
	}
	if err == nil {
		err = os.Rename(incoming, place)
	}
	if err != nil {
		return outcome{}, err
	}
	done := outcome{bytes: b.Size(), took: time.Since(start)}
	after, err := readIO()
	if err != nil {
		return outcome{}, err
	}
	child, peak, err := readCounts(counts)
	if err != nil {
		return outcome{}, err
	}
	// What came over the network was not read from a disk.
	done.io = &ioCount{read: after.read - before.read + max(child.read-result.Received, 0), written: after.written - before.written + child.written}
	done.peakOfChild = peak
	return done, nil
}

// countChild runs a program in the place of this one and writes down what it cost. It looks when the program has ended and is not yet
// forgotten: before that a program that forbids looking into it does not tell.
func countChild(program, counts string) (code int, err error) {
	cmd := exec.Command(program) //nolint:gosec // the installation's; it ends with this process' standard input and output
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, []string{}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return 1, fmt.Errorf("wait for %s: %w", program, err)
		}
	}
	io, err := readIOOf(fmt.Sprint(cmd.Process.Pid))
	if err != nil {
		return 1, err
	}
	_ = cmd.Wait() // how it ended is in the state
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 1, fmt.Errorf("the system does not tell what %s used", program)
	}
	text := fmt.Sprintf("read: %d\nwritten: %d\npeak: %d\n", io.read, io.written, usage.Maxrss<<10)
	return cmd.ProcessState.ExitCode(), os.WriteFile(counts, []byte(text), 0o600)
}

func readCounts(path string) (ioCount, int64, error) {
	fields, err := procFields(path)
	return ioCount{read: fields["read"], written: fields["written"]}, fields["peak"], err
}

// startServer starts a plain HTTP server with the file in a process of its own, so that what it reads is not counted.
func startServer(ctx context.Context, self, file string) (url string, stop func() error, err error) {
	server := exec.CommandContext(ctx, self, "serve-file", file) //nolint:gosec // this very program
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		if err := server.Process.Kill(); err != nil {
			return fmt.Errorf("stop the server of the file: %w", err)
		}
		_ = server.Wait() // it was killed
		return nil
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the server of the file said nothing: %w", err), stop())
	}
	return strings.TrimSpace(line), stop, nil
}

// serveFile serves one file until it is killed, and prints its URL.
func serveFile(file string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(os.Stdout, "http://%s/k.bundle\n", l.Addr()); err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })}
	return server.Serve(l)
}
