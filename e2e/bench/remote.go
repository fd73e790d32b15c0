package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// remote is one host of the floor: one SSH connection as root, over which scripts run side by side.
type remote struct {
	hosts.Host
	controlPlane bool
	client       *ssh.Client
	// log receives what scripts print.
	log io.Writer
}

func dial(ctx context.Context, fleet *hosts.Fleet, h hosts.Host, controlPlane bool, log io.Writer) (*remote, error) {
	client, err := fleet.Dial(ctx, h.Name, "root")
	if err != nil {
		return nil, err
	}
	return &remote{Host: h, controlPlane: controlPlane, client: client, log: log}, nil
}

// script runs shell lines on the host and returns what they print to standard output.
func (r *remote) script(ctx context.Context, lines string) (string, error) {
	return r.session(ctx, "bash -eu -o pipefail -s", strings.NewReader(lines))
}

func (r *remote) session(ctx context.Context, command string, stdin io.Reader) (string, error) {
	session, err := r.client.NewSession()
	if err != nil {
		return "", fmt.Errorf("%s: open a session: %w", r.Name, err)
	}
	defer func() { _ = session.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	var out, problems bytes.Buffer
	session.Stdin = stdin
	session.Stdout = io.MultiWriter(&out, r.log)
	session.Stderr = io.MultiWriter(&problems, r.log)
	if err := session.Run(command); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", r.Name, err, tail(out.String()+problems.String(), 25))
	}
	return out.String(), nil
}

// item is a file to put on a host: content from the bundle, or text.
type item struct {
	path string
	mode int64
	size int64
	open func() (io.Reader, error)
}

func text(path, content string) item {
	return item{path: path, mode: 0o644, size: int64(len(content)), open: func() (io.Reader, error) { return strings.NewReader(content), nil }}
}

func program(b *bundle.Bundle, f bundle.File, dir string) item {
	return item{path: dir + "/" + f.Name, mode: int64(f.Mode), size: f.Size, open: func() (io.Reader, error) { return b.Blob(f.Digest) }}
}

// copyFiles streams files into tar on the host: one stream, no round trips.
func (r *remote) copyFiles(ctx context.Context, items []item) error {
	read, write := io.Pipe()
	go func() { write.CloseWithError(pack(write, items)) }()
	_, err := r.session(ctx, "tar -x --no-same-owner -C /", read)
	// Lets the writer end when tar ended first.
	_ = read.Close()
	return err
}

func pack(w io.Writer, items []item) error {
	archive := tar.NewWriter(w)
	for _, i := range items {
		if err := archive.WriteHeader(&tar.Header{Name: strings.TrimPrefix(i.path, "/"), Mode: i.mode, Size: i.size, Format: tar.FormatPAX}); err != nil {
			return err
		}
		content, err := i.open()
		if err != nil {
			return err
		}
		if _, err := io.Copy(archive, content); err != nil {
			return err
		}
	}
	return archive.Close()
}
