package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry"
)

const (
	clients = 8
	// perClient is how much each client fetches, in bytes: the largest blobs, one after another.
	perClient = 512 << 20
)

// largest are the blobs that the clients fetch.
func largest(b *bundle.Bundle) []bundle.Descriptor {
	var all []bundle.Descriptor
	for _, r := range b.Config().Releases {
		for _, f := range r.Files {
			all = append(all, bundle.Descriptor{Digest: f.Digest, Size: f.Size})
		}
		for _, img := range r.Images {
			for _, ip := range img.Platforms {
				all = append(all, ip.Layers...)
			}
		}
	}
	slices.SortFunc(all, func(a, b bundle.Descriptor) int { return cmp.Compare(b.Size, a.Size) })
	var sum int64
	for i, d := range all {
		if sum += d.Size; sum >= perClient {
			return all[:i+1]
		}
	}
	return all
}

// serveBundle serves blobs out of the bundle.
func serveBundle(ctx context.Context, file, _ string) (outcome, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer b.Close() //nolint:errcheck // read only
	h, err := registry.New(registry.Options{}, registry.FromBundle(b))
	if err != nil {
		return outcome{}, err
	}
	return fetch(ctx, h, largest(b), func(d digest.Digest) string { return "/blobs/sha256/" + d.Encoded() })
}

// servePlain serves the same blobs as files by the standard library's file server; unpacking them does not
// count.
func servePlain(ctx context.Context, file, scratch string) (outcome, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer b.Close() //nolint:errcheck // read only
	blobs := largest(b)
	for _, d := range blobs {
		if err := unpack(b, d.Digest, filepath.Join(scratch, d.Digest.Encoded())); err != nil {
			return outcome{}, err
		}
	}
	return fetch(ctx, http.FileServer(http.Dir(scratch)), blobs, func(d digest.Digest) string { return "/" + d.Encoded() })
}

func unpack(b *bundle.Bundle, d digest.Digest, to string) error {
	content, err := b.Blob(d)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Close()
}

// fetch has all clients fetch all blobs at the same time and says how many bytes they got in what time.
func fetch(ctx context.Context, h http.Handler, blobs []bundle.Descriptor, path func(digest.Digest) string) (outcome, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return outcome{}, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends by being closed
	}()
	defer func() {
		_ = server.Close() // nobody is connected any more
		<-done
	}()
	start := time.Now()
	got := make([]int64, clients)
	group, ctx := errgroup.WithContext(ctx)
	for i := range clients {
		group.Go(func() error {
			for _, d := range blobs {
				n, err := get(ctx, "http://"+l.Addr().String()+path(d.Digest))
				if err != nil || n != d.Size {
					return fmt.Errorf("blob %s: got %d of %d bytes: %w", d.Digest, n, d.Size, err)
				}
				got[i] += n
			}
			return nil
		})
	}
	err = group.Wait()
	var sum int64
	for _, n := range got {
		sum += n
	}
	return outcome{bytes: sum, took: time.Since(start)}, err
}

func get(ctx context.Context, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if e := res.Body.Close(); err == nil {
		err = e
	}
	if res.StatusCode != http.StatusOK {
		return n, fmt.Errorf("%s: %s", url, res.Status)
	}
	return n, err
}
