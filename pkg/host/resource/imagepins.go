package resource

import (
	"context"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
)

// unpinLabel removes the label: containerd drops labels whose value is empty.
const unpinLabel = "io.cri-containerd.pinned="

func checkImagePins(ctx context.Context, t *Task, r *api.Resource) (finding, error) {
	loose, err := t.loosePins(ctx, r.ImagePins.Keep)
	if err != nil {
		return noImages(err)
	}
	if len(loose) > 0 {
		return needed("pinned without need: " + strings.Join(loose, ", "))
	}
	return done()
}

func applyImagePins(ctx context.Context, t *Task, r *api.Resource) error {
	loose, err := t.loosePins(ctx, r.ImagePins.Keep)
	if err != nil {
		return containerdNeeded(err, "unpinning images")
	}
	for _, name := range loose {
		t.say(r, "unpin "+name)
		if err := t.ctr(ctx, name, "label", name, unpinLabel); err != nil {
			return err
		}
	}
	return nil
}

// loosePins are the pinned images that neither the bundle nor a container on this host needs.
func (t *Task) loosePins(ctx context.Context, keep []string) ([]string, error) {
	images, err := t.listImages(ctx)
	if err != nil {
		return nil, err
	}
	loose := needlessPins(keep, t.Ledger.Entries(), images)
	if len(loose) == 0 {
		return nil, nil
	}
	running, err := t.runningImages(ctx)
	if err != nil {
		return nil, err
	}
	return notRunning(loose, running, images), nil
}

// notRunning leaves out what containers run. They may name an image by any of its names, and all names of what they run stay: kubelet's
// garbage collection would take an image whose container just ends and begins again, and nothing could bring it back.
func notRunning(loose []string, running map[string]bool, images map[string]listedImage) []string {
	used := map[string]bool{}
	for name := range running {
		used[images[name].digest] = true
	}
	return slices.DeleteFunc(loose, func(name string) bool { return running[name] || used[images[name].digest] })
}

// needlessPins are the pinned images which we brought to the host and which nobody wants to keep, in order. An image that was
// there before us was pinned by somebody else, or was wanted by somebody else. containerd keeps a second name, the digest of its
// configuration, for every image, and pins that of the pause image by itself: an image is free only when both names are.
func needlessPins(keep []string, owned []ledger.Entry, images map[string]listedImage) []string {
	needless := map[string]bool{}
	for _, e := range owned {
		if e.Type == ledger.TypeImage && e.Created && !slices.Contains(keep, e.Name) {
			needless[images[e.Name].digest] = true
		}
	}
	for _, name := range keep {
		delete(needless, images[name].digest)
	}
	var loose []string
	for name, img := range images {
		ours := slices.ContainsFunc(owned, func(e ledger.Entry) bool {
			return e.Type == ledger.TypeImage && e.Created && e.Name == name
		})
		second := strings.HasPrefix(name, "sha256:") && needless[img.digest]
		if img.pinned && (second || ours && !slices.Contains(keep, name)) {
			loose = append(loose, name)
		}
	}
	slices.Sort(loose)
	return loose
}
