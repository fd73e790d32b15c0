package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestTheNextOperationIsNamedAfterTheLargestDifference(t *testing.T) {
	upgraded := func(generation int64, version, hop string, phase v1alpha1.OperationPhase) *v1alpha1.ClusterOperation {
		o := op("demo-upgrade-g2-1", generation, phase)
		o.Spec.Type, o.Spec.Version = v1alpha1.UpgradeOperation, version
		if hop != "" {
			setAnnotation(&o, v1alpha1.HopAnnotation, hop)
		}
		return &o
	}
	running := func(version string) v1alpha1.ClusterStatus {
		return v1alpha1.ClusterStatus{Initialized: true, InstalledGeneration: 1, Version: version, Nodes: v1alpha1.NodeCounts{Desired: 4, Joined: 4, Ready: 4}}
	}
	short := running("v1.36.3")
	short.Nodes.Joined = 3
	half := running("v1.36.3")
	half.InstalledGeneration = 0
	halfOld := running("v1.35.4")
	halfOld.InstalledGeneration = 0
	silent := running("")
	for name, test := range map[string]struct {
		status  v1alpha1.ClusterStatus
		last    *v1alpha1.ClusterOperation
		moving  bool
		want    gap
		refused plan.RefusalReason
	}{
		"a cluster that does not exist is installed":         {v1alpha1.ClusterStatus{}, nil, true, gap{kind: v1alpha1.InstallOperation}, ""},
		"a half-finished installation goes on":               {half, nil, true, gap{kind: v1alpha1.InstallOperation}, ""},
		"a half-finished one at another version is upgraded": {halfOld, nil, false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 1, 1}, ""},
		"another version is an upgrade":                      {running("v1.35.4"), nil, false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 1, 1}, ""},
		"another version comes before other hosts":           {running("v1.35.4"), nil, true, gap{v1alpha1.UpgradeOperation, "v1.36.3", 1, 1}, ""},
		"two minor versions are a chain":                     {running("v1.34.3"), nil, false, gap{v1alpha1.UpgradeOperation, "v1.35.4", 1, 2}, ""},
		"the second part of a chain knows its place":         {running("v1.35.4"), upgraded(2, "v1.35.4", "1 of 2", v1alpha1.OperationSucceeded), false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 2, 2}, ""},
		"a status seen late does not repeat a part":          {running("v1.34.3"), upgraded(2, "v1.35.4", "1 of 2", v1alpha1.OperationSucceeded), false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 2, 2}, ""},
		"a part that failed is repeated in its place":        {running("v1.34.3"), upgraded(2, "v1.35.4", "1 of 2", v1alpha1.OperationFailed), false, gap{v1alpha1.UpgradeOperation, "v1.35.4", 1, 2}, ""},
		"a chain of an older spec counts for nothing":        {running("v1.35.4"), upgraded(1, "v1.35.4", "1 of 3", v1alpha1.OperationSucceeded), false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 1, 1}, ""},
		"an upgrade that ended well is only checked again":   {running("v1.35.4"), upgraded(2, "v1.36.3", "", v1alpha1.OperationSucceeded), false, gap{kind: v1alpha1.ConfigureOperation}, ""},
		"an upgrade that failed at workers goes on as one":   {running("v1.36.3"), upgraded(2, "v1.36.3", "2 of 2", v1alpha1.OperationFailed), false, gap{v1alpha1.UpgradeOperation, "v1.36.3", 2, 2}, ""},
		"an upgrade that was cancelled goes on as one":       {running("v1.36.3"), upgraded(2, "v1.36.3", "", v1alpha1.OperationCancelled), true, gap{v1alpha1.UpgradeOperation, "v1.36.3", 1, 1}, ""},
		"hosts that come or go are a scale":                  {running("v1.36.3"), nil, true, gap{kind: v1alpha1.ScaleOperation}, ""},
		"a node that is missing is a scale":                  {short, nil, false, gap{kind: v1alpha1.ScaleOperation}, ""},
		"anything else is configuration":                     {running("v1.36.3"), nil, false, gap{kind: v1alpha1.ConfigureOperation}, ""},
		"a cluster whose version is not known is configured": {silent, nil, false, gap{kind: v1alpha1.ConfigureOperation}, ""},
		"a newer cluster is not brought back":                {running("v1.36.4"), nil, false, gap{}, plan.RefusedDowngrade},
		"a minor version that the bundle lacks is refused":   {running("v1.33.1"), nil, false, gap{}, plan.RefusedSkippedMinor},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now", Generation: 2}, Status: test.status}
			c.Spec.Version = "v1.36.3"
			got, err := findGap(c, strings.Fields("v1.35.2 v1.35.4 v1.36.3"), test.last, test.moving)
			if test.refused != "" {
				refused, ok := errors.AsType[*plan.RefusedError](err)
				g.Expect(ok).To(gomega.BeTrue(), "%v", err)
				g.Expect(refused.Reason).To(gomega.Equal(test.refused))
				return
			}
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(got).To(gomega.Equal(test.want))
		})
	}
}

func TestAPlaceInAChainThatNobodyCanReadIsNone(t *testing.T) {
	for _, text := range []string{"", "1", "1 of", "one of two", "1 of 2 of 3"} {
		o := op("demo-upgrade-g1-1", 1, v1alpha1.OperationSucceeded)
		setAnnotation(&o, v1alpha1.HopAnnotation, text)
		if !isLastHop(&o) || hopsOf(&o) != 0 {
			t.Errorf("%q was read as a part of a chain", text)
		}
	}
}
