package resource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	// pinnedLabel keeps kubelet's garbage collection away from an image that could not be pulled again.
	pinnedLabel = "io.cri-containerd.pinned=pinned"
	// listTimeout bounds asking containerd for its images.
	listTimeout = 30 * time.Second
)

// listedImage is what containerd says of an image.
type listedImage struct {
	digest string
	pinned bool
}

// imageList is asked for once per request, and again after something was pulled.
type imageList struct {
	images map[string]listedImage
	err    error
}

// notRunningError says that containerd cannot be asked.
type notRunningError struct{ why string }

func (e *notRunningError) Error() string { return e.why }

func (t *Task) listImages(ctx context.Context) (map[string]listedImage, error) {
	t.imagesMu.Lock()
	defer t.imagesMu.Unlock()
	if t.images == nil {
		t.images = &imageList{}
		t.images.images, t.images.err = t.askImages(ctx)
	}
	return t.images.images, t.images.err
}

func (t *Task) forgetImages(r *api.Resource) {
	if r.Image != nil || r.ImagePins != nil || r.Unit != nil {
		t.imagesMu.Lock()
		defer t.imagesMu.Unlock()
		t.images = nil
	}
}

func (t *Task) askImages(ctx context.Context) (map[string]listedImage, error) {
	if !sys.Exists(t.Sys.Path(containerdSocket)) {
		return nil, &notRunningError{why: "containerd does not run"}
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	table, err := t.ask(ctx, "images", "ls")
	if err != nil {
		return nil, err
	}
	return parseImages(table), nil
}

// parseImages reads the table of "ctr images ls": name, type, digest, then a size of one or two words, platforms, labels.
func parseImages(table string) map[string]listedImage {
	images := map[string]listedImage{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[2], "sha256:") {
			continue
		}
		img := listedImage{digest: f[2]}
		for l := range strings.SplitSeq(f[len(f)-1], ",") {
			img.pinned = img.pinned || l == pinnedLabel
		}
		images[f[0]] = img
	}
	return images
}

// noImages is what a check finds when containerd cannot be asked: something is to be done first, unless the cause is unknown.
func noImages(err error) (finding, error) {
	if notRunning, ok := errors.AsType[*notRunningError](err); ok {
		return needed(notRunning.why)
	}
	if missing, ok := errors.AsType[*sys.NotFoundError](err); ok {
		return needed(missing.Error())
	}
	return finding{}, err
}

// containerdNeeded is the error of a change that containerd has to make while it does not answer.
func containerdNeeded(err error, change string) error {
	return &api.ResourceError{Reason: api.ReasonHost, Retryable: true, Message: err.Error() + ": start containerd before " + change}
}

func checkImage(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	i := r.Image
	images, err := t.listImages(ctx)
	if err != nil {
		return noImages(err)
	}
	have, ok := images[i.Name]
	switch {
	case !ok:
		return needed("containerd does not have it")
	case have.digest != i.Manifest.Digest:
		return needed(fmt.Sprintf("containerd has %s instead of %s", have.digest, i.Manifest.Digest))
	case i.Pin && !have.pinned:
		return needed("it is not pinned")
	}
	lacks, err := t.lackingContent(i)
	if err != nil {
		return finding{}, err
	}
	if lacks != "" {
		return needed("containerd lacks its blob " + lacks)
	}
	return done()
}
