package containerd_test

import (
	"flag"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/containerd"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestContainerdIsConfiguredAsWrittenDown(t *testing.T) {
	for _, c := range []struct {
		name, golden string
		systemd      bool
		overrides    []*runtime.RawExtension
	}{
		{"with nothing overridden", "config.toml", true, nil},
		{"with the pool's override over the cluster's, whole numbers staying whole", "config-overrides.toml", false, []*runtime.RawExtension{
			{Raw: []byte(`{"plugins":{"io.containerd.cri.v1.runtime":{"restrict_oom_score_adj":true,"max_container_log_line_size":16384}}}`)},
			{Raw: []byte(`{"plugins":{"io.containerd.cri.v1.runtime":{"max_container_log_line_size":32768}}}`)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := containerd.Config("registry.k8s.io/pause:3.10.2", c.systemd, c.overrides)
			if err != nil {
				t.Fatal(err)
			}
			plantest.Golden(t, *update, c.golden, got)
		})
	}
}
