package resource

import (
	"context"
	"errors"
	"os"
	"path"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/fetch"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// stagingDir holds blobs between their arrival and their use.
	stagingDir = sys.StateDir + "/blobs/sha256"
	// contentDir is where containerd keeps blobs (io.containerd.content.v1.content with its default root).
	contentDir = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256"
)

func stagedPath(hex string) string  { return path.Join(stagingDir, hex) }
func contentPath(hex string) string { return path.Join(contentDir, hex) }

// blobPath finds a copy of the blob by place and size; whoever uses it verifies the digest.
func (t *Task) blobPath(hex string, size int64) (string, bool) {
	for _, p := range []string{stagedPath(hex), contentPath(hex)} {
		if fi, err := os.Stat(t.Sys.Path(p)); err == nil && fi.Mode().IsRegular() && fi.Size() == size {
			return p, true
		}
	}
	return t.Stamps.Find("sha256:" + hex)
}

func checkBlob(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	b := r.Blob
	h, err := api.DigestHex(b.Digest)
	if err != nil {
		return finding{}, err
	}
	if _, ok := t.blobPath(h, b.Size); ok {
		return done()
	}
	for _, p := range b.AltFiles {
		fi, err := os.Lstat(t.Sys.Path(p))
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != b.Size {
			continue
		}
		if d, err := t.Stamps.Digest(p); err == nil && d == b.Digest {
			return done()
		}
	}
	return needed(api.BlobMissing(b.Size))
}

func applyBlob(ctx context.Context, t *Task, r *api.Resource) error {
	b := r.Blob
	h, err := api.DigestHex(b.Digest)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Sys.Path(stagingDir), 0o700); err != nil {
		return err
	}
	show := fetch.Throttle(b.Size, t.Sys.Now, func(done int64, via string) {
		t.progress(r, api.Progress{Done: done, Total: b.Size, Via: via})
	})
	seen := int64(-1)
	_, err = t.Fetch.Blob(ctx, b, t.Sys.Path(stagedPath(h)), t.Way, func(done int64, via string) {
		if seen >= 0 && done > seen {
			t.count(via, done-seen)
		}
		seen = done
		show(done, via)
	})
	if err == nil {
		return t.Stamps.Set(stagedPath(h), b.Digest)
	}
	if sys.NoSpace(err) {
		return err
	}
	re := &api.ResourceError{Reason: api.ReasonFetchFailed, Retryable: true, Digest: b.Digest, Message: err.Error()}
	if wrong := new(fetch.MismatchError); errors.As(err, &wrong) {
		re.Reason = api.ReasonDigestMismatch
	}
	return re
}

func (t *Task) count(via string, n int64) {
	if via == fetch.ViaTunnel {
		t.Tunnel.Add(n)
	} else {
		t.Direct.Add(n)
	}
}

// CleanStaging removes unfinished downloads that nobody goes on with; only the holder of the lease may, because only it downloads.
func (h *Host) CleanStaging() {
	removeLeftovers(h.Sys.Path(stagingDir))
	fetch.CleanParts(h.Sys.Path(stagingDir), h.Sys.Now())
}
