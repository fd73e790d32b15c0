package desired

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
)

// checkAnonymous refuses to shut anonymous requests out altogether. The probes of the static pods that kubeadm writes carry no credentials
// (k8s.io/kubernetes, cmd/kubeadm/app/phases/controlplane/manifests.go): kubelet would take an API server that answers 401 for dead, and so would the
// nodes' proxies. An AuthenticationConfiguration keeps everything but these paths from anonymous requests.
func checkAnonymous(raw *runtime.RawExtension, field string) error {
	for i, a := range apiServerArgs(raw) {
		if allowed, err := strconv.ParseBool(a.Value); a.is("anonymous-auth") && err == nil && !allowed {
			return &SpecError{fmt.Sprintf("%s.apiServer.extraArgs[%d]", field, i),
				"anonymous-auth cannot be false, because kubelet's probes and the nodes' proxies ask /livez and /readyz without credentials: use authentication-config with a file whose anonymous.conditions allow /livez, /readyz and /healthz alone (docs/cluster.md, Anonymous requests)"}
		}
	}
	return nil
}
