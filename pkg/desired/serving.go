package desired

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// KubeletAuthorityArg is the argument of API servers that says whose certificates kubelets must serve with.
const KubeletAuthorityArg = "kubelet-certificate-authority"

// checkServing refuses kubelets with certificates of somebody's own while API servers expect those of the cluster's authority. Who brings
// certificates for kubelets says which authority they are of.
func checkServing(spec v1alpha1.ClusterSpec) error {
	if slices.ContainsFunc(apiServerArgs(spec.Overrides.Kubeadm), func(a kubeadmArg) bool { return a.is(KubeletAuthorityArg) }) {
		return nil
	}
	if err := checkKubeletServing(spec.Overrides.Kubelet, "spec.overrides.kubelet"); err != nil {
		return err
	}
	if err := checkKubeletServing(spec.ControlPlane.Overrides.Kubelet, "spec.controlPlane.overrides.kubelet"); err != nil {
		return err
	}
	for p, pool := range spec.Workers {
		if err := checkKubeletServing(pool.Overrides.Kubelet, fmt.Sprintf("spec.workers[%d].overrides.kubelet", p)); err != nil {
			return err
		}
	}
	return nil
}

func checkKubeletServing(raw *runtime.RawExtension, field string) error {
	if raw == nil || len(raw.Raw) == 0 {
		return nil
	}
	var value map[string]any
	if json.Unmarshal(raw.Raw, &value) != nil {
		return nil //nolint:nilerr // refused where it is laid over ours
	}
	for _, name := range []string{"serverTLSBootstrap", "tlsCertFile", "tlsPrivateKeyFile"} {
		if own, given := value[name]; given && own != true {
			return &SpecError{field + "." + name, "cannot be overridden while API servers verify kubelets by the cluster's authority: remove it, or name the authority of your certificates in " +
				KubeletAuthorityArg + " of spec.overrides.kubeadm.apiServer.extraArgs"}
		}
	}
	return nil
}

// namesAddresses says whether the value of kubelet's node-ip names addresses, rather than leaving it to kubelet to find one.
func namesAddresses(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		if address, err := netip.ParseAddr(part); err != nil || address.IsUnspecified() {
			return false
		}
	}
	return true
}
