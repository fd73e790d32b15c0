package desired

import (
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// apiServerArgs are the arguments that an override of kubeadm's ClusterConfiguration gives to API servers. What has another shape is kubeadm's
// to refuse.
func apiServerArgs(raw *runtime.RawExtension) []kubeadmArg {
	if raw == nil || len(raw.Raw) == 0 {
		return nil
	}
	var value struct {
		APIServer struct {
			ExtraArgs []kubeadmArg `json:"extraArgs"`
		} `json:"apiServer"`
	}
	if json.Unmarshal(raw.Raw, &value) != nil {
		return nil
	}
	return value.APIServer.ExtraArgs
}

// kubeadmArg is an argument of a program in kubeadm's configuration.
type kubeadmArg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// is says whether it is the argument of that name; kubeadm passes a name on as it is, behind two dashes.
func (a kubeadmArg) is(name string) bool { return strings.TrimLeft(a.Name, "-") == name }
