// Package containerd renders the container runtime's configuration and says which files and units it is made of.
package containerd

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

const (
	criRuntime = "io.containerd.cri.v1.runtime"
	criImages  = "io.containerd.cri.v1.images"
	transfer   = "io.containerd.transfer.v1.local"
)

// Config renders /etc/containerd/config.toml (version 3, containerd 2.x) with overrides laid over it.
//
// The transfer service unpacks a layer at a time unless max_concurrent_unpacks says otherwise (right from containerd 2.2.3 and
// 2.3.0 on). Certificates and mirrors of registries stay in certs.d, which belongs to the user and needs no restart.
func Config(pauseImage string, systemdCgroup bool, overrides []*runtime.RawExtension) ([]byte, error) {
	config := map[string]any{
		"version": 3,
		"plugins": map[string]any{
			criRuntime: map[string]any{
				"containerd": map[string]any{"runtimes": map[string]any{"runc": map[string]any{
					"runtime_type": "io.containerd.runc.v2",
					"options": map[string]any{
						"BinaryName":    layout.BinDir + "/runc",
						"SystemdCgroup": systemdCgroup,
					},
				}}},
				"cni": map[string]any{"bin_dirs": []any{layout.CNIBinDir}, "conf_dir": layout.CNIConfDir},
			},
			criImages: map[string]any{
				"pinned_images": map[string]any{"sandbox": pauseImage},
				"registry":      map[string]any{"config_path": "/etc/containerd/certs.d"},
			},
			transfer: map[string]any{
				"max_concurrent_downloads": 4,
				"max_concurrent_unpacks":   4,
			},
		},
	}
	merged, err := desired.Merge(config, "overrides.containerd", overrides...)
	if err != nil {
		return nil, err
	}
	out, err := toml.Marshal(integers(merged))
	if err != nil {
		return nil, fmt.Errorf("render containerd's configuration: %w", err)
	}
	return out, nil
}

// integers turns whole JSON numbers into integers, since TOML tells 1 and 1.0 apart.
func integers(value any) any {
	switch v := value.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for k, below := range v {
			v[k] = integers(below)
		}
	case []any:
		for i, below := range v {
			v[i] = integers(below)
		}
	}
	return value
}
