package resource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// pullTimeout bounds one pull from the mirror on this host: unpacking a large image on a slow disk.
const pullTimeout = 15 * time.Minute

func applyImage(ctx context.Context, t *Task, r *api.Resource) error {
	i := r.Image
	images, err := t.listImages(ctx)
	if err != nil {
		return containerdNeeded(err, "pulling images")
	}
	have, ok := images[i.Name]
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeImage, Name: i.Name, Created: !ok, Previous: have.digest}); err != nil {
		return err
	}
	if ok && have.digest == i.Manifest.Digest {
		lacks, err := t.lackingContent(i)
		if err != nil {
			return err
		}
		if lacks == "" {
			return t.ctr(ctx, i.Name, "label", i.Name, pinnedLabel)
		}
		if err := t.removeImage(ctx, r); err != nil {
			return err
		}
	}
	for _, d := range append([]api.Descriptor{i.Manifest}, i.Blobs...) {
		h, err := api.DigestHex(d.Digest)
		if err != nil {
			return err
		}
		if _, ok := t.blobPath(h, d.Size); !ok {
			return &api.ResourceError{Reason: api.ReasonBlobMissing, Retryable: true, Digest: d.Digest, Message: fmt.Sprintf("blob %s of image %s is not on the host: apply the Blob first", d.Digest, i.Name)}
		}
	}
	m, err := startMirror(t, i)
	if err != nil {
		return err
	}
	defer m.stop() //nolint:contextcheck // the mirror is taken down also when the pull was cancelled
	t.say(r, "pull and unpack "+i.Name)
	// Without --skip-metadata the manifests of platforms that are not on this host would be asked for, too.
	args := []string{"pull", "--hosts-dir", m.hostsDir, "--skip-metadata"}
	if i.Pin {
		args = append(args, "--label", pinnedLabel)
	}
	err = t.ctr(ctx, i.Name, append(args, i.Name)...)
	if damaged := m.damaged(); err != nil && damaged != nil {
		return damaged
	}
	if err != nil {
		return err
	}
	lacks, err := t.lackingContent(i)
	if err != nil || lacks == "" {
		return err
	}
	if err := t.removeImage(ctx, r); err != nil {
		return err
	}
	return &api.ResourceError{Reason: api.ReasonHost, Retryable: true, Digest: lacks, Message: fmt.Sprintf("containerd pulled %s but does not keep blob %s", i.Name, lacks)}
}

// lackingContent names a blob of the image that containerd does not hold, or "". A pull that was cut off can leave an unpacked layer
// behind; the next pull then skips fetching that layer, and when containerd clears up after the first one the image is left without it.
func (t *Task) lackingContent(i *api.Image) (string, error) {
	for _, d := range append([]api.Descriptor{i.Manifest}, i.Blobs...) {
		h, err := api.DigestHex(d.Digest)
		if err != nil {
			return "", err
		}
		fi, err := os.Stat(t.Sys.Path(contentPath(h)))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return d.Digest, nil
		case err != nil:
			return "", err
		case fi.Size() != d.Size:
			return d.Digest, nil
		}
	}
	return "", nil
}

// removeImage takes back an image that is not whole, with whatever was unpacked of it, so that the next pull starts afresh.
func (t *Task) removeImage(ctx context.Context, r *api.Resource) error {
	return t.ctr(ctx, r.Image.Name, "rm", "--sync", r.Image.Name)
}

// ctr runs one "ctr images" command about an image.
func (t *Task) ctr(ctx context.Context, image string, args ...string) error {
	bounded, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	argv := append([]string{"ctr", "--namespace", "k8s.io", "--connect-timeout", "10s", "images"}, args...)
	out, err := t.Sys.Runner.Run(bounded, argv...)
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		lines := sys.LastLines(out.Stderr, 5)
		message := fmt.Sprintf("ctr images %s of %s failed", args[0], image)
		if n := len(lines); n > 0 {
			message += ": " + lines[n-1]
		}
		return &api.ResourceError{Reason: api.ReasonHost, Retryable: true, ExitCode: out.ExitCode, Output: lines, Message: message}
	}
	return nil
}

// pruneStaged deletes staged blobs of the images which containerd now keeps itself.
func pruneStaged(ctx context.Context, t *Task, group []*api.Resource) {
	images, err := t.listImages(ctx)
	if err != nil {
		return
	}
	for _, r := range group {
		i := r.Image
		if images[i.Name].digest != i.Manifest.Digest {
			continue
		}
		for _, d := range append([]api.Descriptor{i.Manifest}, i.Blobs...) {
			h, err := api.DigestHex(d.Digest)
			if err != nil {
				continue
			}
			fi, err := os.Stat(t.Sys.Path(contentPath(h)))
			if err != nil || fi.Size() != d.Size {
				continue
			}
			t.Stamps.Drop(stagedPath(h))
			if err := os.Remove(t.Sys.Path(stagedPath(h))); err != nil && !errors.Is(err, os.ErrNotExist) {
				// It takes up space, nothing more; the next time tries again.
				t.say(r, "cannot delete a staged blob: "+err.Error())
			}
		}
	}
}
