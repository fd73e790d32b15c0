package cluster

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/plan"
)

// gap is the largest difference between spec and reality, which names the next operation.
type gap struct {
	kind v1alpha1.OperationType
	// version an Upgrade brings the cluster to; empty otherwise.
	version string
	// hop of hops is the place of an Upgrade in its chain, from 1; both are 1 when there is none.
	hop, hops int
}

// findGap compares the spec with what is known of the cluster: its status, the releases of its bundle, the last operation that worked
// towards the spec (it may be nil), and whether hosts have to move. The error is that of plan.Hops.
func findGap(cluster *v1alpha1.Cluster, available []string, last *v1alpha1.ClusterOperation, moving bool) (gap, error) {
	status := &cluster.Status
	if !status.Initialized {
		return gap{kind: v1alpha1.InstallOperation}, nil
	}
	if last != nil && last.Spec.ClusterGeneration != cluster.Generation {
		last = nil
	}
	if at := reached(status.Version, last); at != "" {
		hops, err := plan.Hops(at, cluster.Spec.Version, available)
		if err != nil {
			return gap{}, err
		}
		if len(hops) > 0 {
			all := max(hopsOf(last), len(hops))
			return gap{kind: v1alpha1.UpgradeOperation, version: hops[0], hop: all - len(hops) + 1, hops: all}, nil
		}
	}
	switch {
	case last != nil && last.Spec.Type == v1alpha1.UpgradeOperation && last.Status.Phase != v1alpha1.OperationSucceeded && last.Spec.Version == cluster.Spec.Version:
		// The API servers are there already; what is left of it is the rest of an upgrade.
		all := max(hopsOf(last), 1)
		return gap{kind: v1alpha1.UpgradeOperation, version: last.Spec.Version, hop: all, hops: all}, nil
	case status.InstalledGeneration == 0:
		return gap{kind: v1alpha1.InstallOperation}, nil
	case moving || status.Nodes.Joined < status.Nodes.Desired:
		return gap{kind: v1alpha1.ScaleOperation}, nil
	}
	return gap{kind: v1alpha1.ConfigureOperation}, nil
}

// reached is the version the cluster runs. What a hop that succeeded was to bring about is believed before the status: that may be
// seen later than the operation's end, and the same hop must not be made twice.
func reached(version string, last *v1alpha1.ClusterOperation) string {
	if last != nil && last.Status.Phase == v1alpha1.OperationSucceeded && last.Spec.Version != "" {
		return last.Spec.Version
	}
	return version
}

// hopText and parseHop write and read the annotation that tells an operation's place in a chain.
func hopText(hop, hops int) string { return fmt.Sprintf("%d of %d", hop, hops) }

func parseHop(operation *v1alpha1.ClusterOperation) (hop, hops int) {
	if operation == nil {
		return 0, 0
	}
	first, all, _ := strings.Cut(operation.Annotations[v1alpha1.HopAnnotation], " of ")
	hop, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0
	}
	if hops, err = strconv.Atoi(all); err != nil {
		return 0, 0
	}
	return hop, hops
}

// hopsOf is how many parts the chain of an operation has; 0 when it is in none.
func hopsOf(operation *v1alpha1.ClusterOperation) int {
	_, hops := parseHop(operation)
	return hops
}

// isLastHop says whether an operation that succeeds has brought the whole spec about.
func isLastHop(operation *v1alpha1.ClusterOperation) bool {
	hop, hops := parseHop(operation)
	return hop >= hops
}
