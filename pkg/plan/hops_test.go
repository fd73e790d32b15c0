package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubewright/kubewright/pkg/plan"
)

func TestTheWayFromOneVersionToAnother(t *testing.T) {
	for name, test := range map[string]struct {
		current, target string
		available       string
		want            string
		refused         plan.RefusalReason
		says            string
	}{
		"nothing is left to do":                             {"v1.36.3", "v1.36.3", "", "", "", ""},
		"a newer patch is one hop":                          {"v1.36.1", "v1.36.3", "v1.36.3", "v1.36.3", "", ""},
		"the next minor version is one hop":                 {"v1.35.4", "v1.36.3", "v1.35.4 v1.36.3", "v1.36.3", "", ""},
		"two minor versions are two hops":                   {"v1.34.2", "v1.36.3", "v1.35.4 v1.36.3", "v1.35.4 v1.36.3", "", ""},
		"the newest patch in between is taken, by number":   {"v1.34.2", "v1.36.3", "v1.35.9 v1.35.10 v1.35.2 v1.36.3", "v1.35.10 v1.36.3", "", ""},
		"a newer patch than wanted is not taken at the end": {"v1.34.2", "v1.35.0", "v1.35.0 v1.35.4", "v1.35.0", "", ""},
		"a minor version that the bundle lacks":             {"v1.34.2", "v1.36.3", "v1.36.3", "", plan.RefusedSkippedMinor, "v1.35"},
		"a gap later on the way is seen before the first":   {"v1.33.0", "v1.36.3", "v1.34.2 v1.36.3", "", plan.RefusedSkippedMinor, "v1.35"},
		"an older minor version":                            {"v1.36.3", "v1.35.4", "v1.35.4 v1.36.3", "", plan.RefusedDowngrade, "v1.36.3"},
		"an older patch":                                    {"v1.36.3", "v1.36.1", "v1.36.1 v1.36.3", "", plan.RefusedDowngrade, "v1.36.3"},
		"a version the bundle lacks":                        {"v1.36.1", "v1.36.3", "v1.36.1", "", plan.RefusedVersionNotInBundle, "v1.36.1"},
		"a version of an empty bundle":                      {"v1.36.1", "v1.36.3", "", "", plan.RefusedVersionNotInBundle, "none"},
		"another major version":                             {"v1.36.1", "v2.0.0", "v2.0.0", "", plan.RefusedSkippedMinor, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			hops, err := plan.Hops(test.current, test.target, strings.Fields(test.available))
			if got := strings.Join(hops, " "); got != test.want {
				t.Errorf("the way is %q, want %q", got, test.want)
			}
			refused, ok := errors.AsType[*plan.RefusedError](err)
			switch {
			case test.refused == "":
				if err != nil {
					t.Error(err)
				}
			case !ok || refused.Reason != test.refused || !strings.Contains(err.Error(), test.says):
				t.Errorf("got %v, want a refusal %s that names %s", err, test.refused, test.says)
			}
			next, err := plan.NextHop(test.current, test.target, strings.Fields(test.available))
			if ok != (err != nil) {
				t.Errorf("NextHop says %v", err)
			}
			if want := append(hops, test.current)[0]; err == nil && next != want {
				t.Errorf("the next hop is %s, want %s", next, want)
			}
		})
	}
}

func TestAVersionThatCannotBeReadIsNamed(t *testing.T) {
	for name, args := range map[string][3]string{
		"the one that runs":   {"1.x", "v1.36.3", "v1.36.3"},
		"the one wanted":      {"v1.36.3", "latest", "v1.36.3"},
		"one from the bundle": {"v1.34.3", "v1.36.3", "v1.36.3 stable"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plan.NextHop(args[0], args[1], strings.Fields(args[2]))
			if _, refused := errors.AsType[*plan.RefusedError](err); err == nil || refused || !strings.Contains(err.Error(), "not a Kubernetes release") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestHopsFollowedOneByOneEndAtTheTarget follows NextHop from random places, as the controller does, and sees that each hop is of the
// bundle, newer than the one before, and at most one minor version away.
func TestHopsFollowedOneByOneEndAtTheTarget(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		release := func() string { return fmt.Sprintf("v1.%d.%d", 30+random.IntN(6), random.IntN(12)) }
		var available []string
		for range random.IntN(12) {
			available = append(available, release())
		}
		current, target := release(), release()
		whole, refusal := plan.Hops(current, target, available)
		at := version.MustParseSemantic(current)
		for walked := 0; ; walked++ {
			next, err := plan.NextHop(current, target, available)
			if (err != nil) != (refusal != nil) {
				t.Fatalf("seed %d: at %s: %v, at the start: %v", seed, current, err, refusal)
			}
			if err != nil {
				if walked > 0 {
					t.Fatalf("seed %d: refused in the middle: %v", seed, err)
				}
				break
			}
			if next == current {
				if current != target || walked != len(whole) {
					t.Fatalf("seed %d: it ends at %s after %d hops, want %s after %d", seed, current, walked, target, len(whole))
				}
				break
			}
			v := version.MustParseSemantic(next)
			if !slices.Contains(available, next) || !at.LessThan(v) || v.Minor() > at.Minor()+1 {
				t.Fatalf("seed %d: from %s to %s with %v", seed, current, next, available)
			}
			current, at = next, v
		}
	}
}
