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
	images, err := t.listImages(ctx)
	if err != nil {
		return noImages(err)
	}
	if loose := needlessPins(r.ImagePins.Keep, t.Ledger.Entries(), images); len(loose) > 0 {
		return needed("pinned without need: " + strings.Join(loose, ", "))
	}
	return done()
}

func applyImagePins(ctx context.Context, t *Task, r *api.Resource) error {
	images, err := t.listImages(ctx)
	if err != nil {
		return containerdNeeded(err, "unpinning images")
	}
	for _, name := range needlessPins(r.ImagePins.Keep, t.Ledger.Entries(), images) {
		t.say(r, "unpin "+name)
		if err := t.ctr(ctx, name, "label", name, unpinLabel); err != nil {
			return err
		}
	}
	return nil
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
