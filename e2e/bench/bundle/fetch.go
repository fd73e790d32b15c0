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
	incoming, place := filepath.Join(scratch, "incoming", "k.bundle"), filepath.Join(scratch, "k.bundle")
	start := time.Now()
	before, err := readIO()
	if err != nil {
		return outcome{}, err
	}
	result, err := (&pkgfetch.Program{Path: program}).Fetch(ctx, pkgfetch.Request{
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
	// The kernel adds what a child that has ended asked for, and its peak, to its parent's. What came over the network was not read from a disk.
	done.io = &ioCount{read: after.read - before.read - result.Received, written: after.written - before.written}
	var children unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &children); err != nil {
		return outcome{}, fmt.Errorf("ask what %s used: %w", fetchProgram, err)
	}
	done.peakOfChild = children.Maxrss << 10
	return done, nil
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
