//go:build e2e

package install

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// A site goes on with another bundle of the same version, which lacks an image that somebody's pods run.
func TestImagesOfRunningPodsStayPinnedWhenTheBundleIsAnotherOne(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "pins", fixture.Options{ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops"})
	mustUp(t, ctx, fleet, i)
	if _, err := i.AskService(ctx); err != nil {
		t.Fatal(err)
	}
	pinned := func() bool {
		t.Helper()
		for line := range strings.Lines(run(t, ctx, fleet, "n2", "/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "ls")) {
			if strings.Contains(line, "kubewright/netcheck:") {
				return strings.Contains(line, "io.cri-containerd.pinned=pinned")
			}
		}
		return false
	}
	if !pinned() {
		t.Fatal("the image of the pods is not pinned to begin with")
	}
	i.Bundle = without(t, ctx, i.Bundle, func(image bundle.Image) bool { return image.Component == "netcheck" })
	out := mustUp(t, ctx, fleet, i)
	if !strings.Contains(out, "another one than the cluster runs from") {
		t.Errorf("the bundle was taken without a word:\n%s", out)
	}
	if !pinned() {
		t.Error("the image of running pods is not pinned any more")
	}
	if out := mustUp(t, ctx, fleet, i); !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("what pods run counts as a difference:\n%s", out)
	}
	kubectl(t, ctx, i, "delete", "namespace", "netcheck", "--wait")
	mustUp(t, ctx, fleet, i)
	if pinned() {
		t.Error("the image stays pinned after its pods have gone")
	}
}
