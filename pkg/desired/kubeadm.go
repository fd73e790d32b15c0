package desired

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

const (
	registrationField = "nodeRegistration"
	timeoutsField     = "timeouts"
)

// NodeFields are the fields of kubeadm's InitConfiguration and JoinConfiguration that an override may hold. ClusterConfiguration has none
// of these names, so that both can stand in one override. The other fields of the two say how Kubewright brings a host into its cluster:
// discovery, patches, phases, the address and port of the API server.
func NodeFields() []string { return []string{registrationField, timeoutsField} }

// checkKubeadm refuses overrides that would make a node another one than the rest of the spec says.
func checkKubeadm(spec v1alpha1.ClusterSpec) error {
	if _, err := readKubeadm(spec.Overrides.Kubeadm, "spec.overrides.kubeadm"); err != nil {
		return err
	}
	if err := checkNodeKubeadm(spec.ControlPlane.Overrides.Kubeadm, "spec.controlPlane.overrides.kubeadm"); err != nil {
		return err
	}
	for p, pool := range spec.Workers {
		if err := checkNodeKubeadm(pool.Overrides.Kubeadm, fmt.Sprintf("spec.workers[%d].overrides.kubeadm", p)); err != nil {
			return err
		}
	}
	return nil
}

// checkNodeKubeadm checks an override that speaks of some nodes, and therefore of nothing that the whole cluster shares.
func checkNodeKubeadm(raw *runtime.RawExtension, field string) error {
	fields, err := readKubeadm(raw, field)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(NodeFields(), name) {
			return &SpecError{field + "." + name, "cannot differ between nodes, only nodeRegistration and timeouts can: move it to spec.overrides.kubeadm if it belongs to ClusterConfiguration, or remove it"}
		}
	}
	return nil
}

// readKubeadm checks what an override says of nodes and returns all that it says.
func readKubeadm(raw *runtime.RawExtension, field string) (map[string]any, error) {
	fields := map[string]any{}
	if raw == nil || len(raw.Raw) == 0 {
		return fields, nil
	}
	if err := json.Unmarshal(raw.Raw, &fields); err != nil {
		return nil, &SpecError{field, fmt.Sprintf("must be an object: %v", err)}
	}
	for _, name := range NodeFields() {
		value, given := fields[name]
		if _, ok := value.(map[string]any); given && !ok {
			return nil, &SpecError{field + "." + name, "must be an object"}
		}
	}
	registration, _ := fields[registrationField].(map[string]any)
	return fields, checkRegistration(registration, field+"."+registrationField)
}

// checkRegistration refuses what stands elsewhere in the spec, or is the same on all nodes.
func checkRegistration(registration map[string]any, field string) error {
	for _, name := range slices.Sorted(maps.Keys(registration)) {
		switch name {
		case "name":
			return &SpecError{field + ".name", "is always the name of the Host: remove it"}
		case "criSocket":
			return &SpecError{field + ".criSocket", "is always that of the bundle's containerd: remove it"}
		case "taints":
			return &SpecError{field + ".taints", "has fields of its own: use taints of the pool, or schedulable of the control plane"}
		case "ignorePreflightErrors":
			return &SpecError{field + ".ignorePreflightErrors", "has a field of its own: use ignorePreflightErrors of the overrides"}
		}
	}
	return nil
}
