package box

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-getter"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// fetch carries out one request. Errors: *fetch.Error, or the context's cause.
func (f *fetcher) fetch(ctx context.Context, request fetch.Request) (fetch.Result, error) {
	if err := request.Validate(); err != nil {
		return fetch.Result{}, err
	}
	if request.Limits.IdleTimeout == 0 {
		request.Limits.IdleTimeout = fetch.DefaultIdleTimeout
	}
	if request.Limits.CheckpointBytes == 0 {
		request.Limits.CheckpointBytes = fetch.DefaultCheckpointBytes
	}
	if err := os.MkdirAll(filepath.Dir(request.Destination), 0o700); err != nil {
		return fetch.Result{}, fmt.Errorf("make the directory of %s: %w", request.Destination, err)
	}
	p, err := openPart(request.Destination, request.Source, request.Limits.CheckpointBytes)
	if err != nil {
		return fetch.Result{}, err
	}
	defer p.close()
	p.write, p.rename = f.write, f.rename
	if p.placed && p.check(request.Expect) == nil {
		return fetch.Result{Size: p.size, SHA256: p.sum()}, p.discard()
	}
	p.forgetPlaced()
	job := &job{request: request, part: p, after: f.after, free: f.free, report: f.report, connect: f.connect}
	err = job.get(ctx)
	if err == nil {
		err = p.finish(job.request.Expect) // the getter of a registry has learned what to expect
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return fetch.Result{}, errors.Join(err, p.settle(err))
	}
	return fetch.Result{Size: p.size, SHA256: p.sum(), Received: p.received}, nil
}

// get has go-getter take the source apart and call the getter of its scheme. Everything go-getter shares or guesses is left out: the
// maps and lists are this call's own, there is nothing to detect and nothing to unpack.
func (j *job) get(ctx context.Context) error {
	web := &oneFile{get: j.web}
	getters := map[string]getter.Getter{
		"https": web,
		"s3":    &oneFile{get: j.s3},
		"oci":   &oneFile{get: j.oci},
		"file":  &oneFile{get: j.file},
	}
	if j.request.Network.AllowHTTP {
		getters["http"] = web
	}
	u, err := fetch.ParseSource(j.request.Source)
	if err != nil {
		return err
	}
	if getters[u.Scheme] == nil {
		return &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is without TLS, which is not allowed here: use https://", u)}
	}
	client := &getter.Client{
		Ctx:           ctx,
		Src:           j.request.Source + "?archive=false",
		Dst:           j.part.path,
		Mode:          getter.ClientModeFile,
		Getters:       getters,
		Detectors:     []getter.Detector{},
		Decompressors: map[string]getter.Decompressor{},
	}
	return client.Get()
}

// oneFile is a go-getter Getter for sources that are one file.
type oneFile struct {
	get    func(ctx context.Context, source *url.URL) error
	client *getter.Client
}

// GetFile gets the file. It goes where the job says, which is also what go-getter is told.
func (o *oneFile) GetFile(_ string, source *url.URL) error { return o.get(o.client.Ctx, source) }

// Get would get a directory.
func (o *oneFile) Get(string, *url.URL) error {
	return &fetch.Error{Kind: fetch.Invalid, Message: "the source is a directory: name one file"}
}

// ClientMode says that every source is one file.
func (o *oneFile) ClientMode(*url.URL) (getter.ClientMode, error) { return getter.ClientModeFile, nil }

// SetClient takes the client, which holds the context.
func (o *oneFile) SetClient(client *getter.Client) { o.client = client }
