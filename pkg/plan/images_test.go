package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// A node takes pods as soon as their network is configured, and whatever image a pod needs then cannot be pulled from anywhere.
func TestANodeHasEveryImageBeforeItTakesPods(t *testing.T) {
	const begin, others = "image/kube-proxy image/pause image/flannel", "image/coredns image/metrics-server"
	for name, test := range map[string]struct {
		cni          v1alpha1.CNIType
		joined, open bool
		// first and later are what w1 unpacks in the one step and the other.
		first, later string
	}{
		"one that joins begins with few":                   {v1alpha1.FlannelCNI, false, false, begin, others},
		"one that was cut off after it had joined, too":    {v1alpha1.FlannelCNI, true, false, begin, others},
		"one that takes pods unpacks all at once":          {v1alpha1.FlannelCNI, true, true, begin + " " + others, ""},
		"one whose network somebody else brings, likewise": {v1alpha1.NoCNI, false, false, begin + " " + others, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			in.Cluster.Network.CNI.Type = test.cni
			if !test.open {
				in.Facts["w1"].Paths = nil
			}
			if !test.joined {
				in.Facts["w1"].Receipts = slices.DeleteFunc(in.Facts["w1"].Receipts, func(r string) bool { return r == kubeadm.JoinCommand })
			}
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			unpacked := map[string][]string{}
			for _, s := range graph.Steps {
				for _, r := range s.Resources["w1"] {
					if r.Image != nil {
						unpacked[s.ID] = append(unpacked[s.ID], r.ID)
					}
				}
				early := s.ID == plan.StepPodNetwork && !slices.Contains(s.Needs, engine.Need{Step: plan.StepOtherImages, Scope: engine.SameHost})
				if test.later != "" && early {
					t.Errorf("the network of pods needs %v, not the other images", s.Needs)
				}
			}
			for step, want := range map[string]string{plan.StepImages: test.first, plan.StepOtherImages: test.later} {
				got, wanted := slices.Sorted(slices.Values(unpacked[step])), slices.Sorted(slices.Values(strings.Fields(want)))
				if !slices.Equal(got, wanted) {
					t.Errorf("%s unpacks %v, want %v", step, got, wanted)
				}
			}
		})
	}
}
