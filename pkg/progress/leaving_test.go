package progress_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/progress"
)

func TestItIsSaidWhichHostsLeaveAndWhatIsLostWithThem(t *testing.T) {
	for name, c := range map[string]struct {
		leaving []progress.Departure
		want    string
	}{
		"nobody leaves": {nil, ""},
		"a worker": {
			[]progress.Departure{{Name: "n2", Role: v1alpha1.WorkerRole, Pool: "default"}},
			"1 host leaves the cluster default/demo:\n" +
				"  n2: worker of pool default: it is drained, its node is removed, and Kubernetes\n" +
				"      is removed from the machine with all data that pods keep there\n",
		},
		"a control plane, and a host that is gone for good": {
			[]progress.Departure{{Name: "n2", Role: v1alpha1.ControlPlaneRole}, {Name: "n3\x1b[2J", Role: v1alpha1.WorkerRole, Pool: "default", Orphan: true}},
			"2 hosts leave the cluster default/demo:\n" +
				"  n2: control plane: it is drained, its etcd member and node are removed, and\n" +
				"      Kubernetes is removed from the machine with all data that pods keep there\n" +
				"  n3: worker of pool default: its node is removed; the machine is left alone\n" +
				"      (onRemoval is Orphan)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := progress.Departures(&b, "default/demo", c.leaving); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
		})
	}
}
