package desired_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
)

func TestAChecksNamesAreThoseOfKubewrightAndOfKubeadm(t *testing.T) {
	for _, test := range []struct {
		name string
		// ignores are checks of Kubewright's that the name means, others one that it does not.
		ignores []string
		others  string
		// kubeadm says that the name is left to kubeadm, too.
		kubeadm bool
	}{
		{"CPUs", []string{"CPUs"}, "Memory", false},
		{"NumCPU", []string{"CPUs"}, "Memory", false},
		{"numcpu", []string{"CPUs"}, "Memory", false},
		{"Mem", []string{"Memory"}, "CPUs", false},
		{"Port-6443", []string{"Port-6443"}, "Port-10250", false},
		{"SystemVerification", []string{"KernelConfig", "CgroupControllers"}, "KernelFeatures", false},
		{"DirAvailable--var-lib-etcd", []string{"Leftovers"}, "Disk", false},
		{"FileExisting-losetup", []string{"Programs"}, "Leftovers", false},
		{"FileContent--proc-sys-net-bridge-bridge-nf-call-iptables", nil, "Leftovers", true},
		{"ImagePull", nil, "Disk", true},
		{"all", []string{"CPUs", "Memory", "Port-6443", "Leftovers"}, "NoSuchCheck", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := desired.Host{IgnorePreflightErrors: []string{test.name}}
			for _, check := range test.ignores {
				if !h.Ignores(check) {
					t.Errorf("it does not mean %s", check)
				}
			}
			if h.Ignores(test.others) {
				t.Errorf("it means %s", test.others)
			}
			if left := slices.Equal(h.KubeadmChecks(), []string{test.name}); left != test.kubeadm {
				t.Errorf("kubeadm is told %v", h.KubeadmChecks())
			}
		})
	}
}

func TestACheckThatNobodyDoesIsRefusedByItsField(t *testing.T) {
	for field, change := range map[string]func(*v1alpha1.ClusterSpec, []string){
		"spec.overrides.ignorePreflightErrors[1]":              func(s *v1alpha1.ClusterSpec, names []string) { s.Overrides.IgnorePreflightErrors = names },
		"spec.controlPlane.overrides.ignorePreflightErrors[1]": func(s *v1alpha1.ClusterSpec, names []string) { s.ControlPlane.Overrides.IgnorePreflightErrors = names },
		"spec.workers[0].overrides.ignorePreflightErrors[1]":   func(s *v1alpha1.ClusterSpec, names []string) { s.Workers[0].Overrides.IgnorePreflightErrors = names },
	} {
		for _, wrong := range []string{"NumCPUs", "Port-", "Service", "DirAvailable-"} {
			_, err := resolve(func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) { change(&c.Spec, []string{"Swap", wrong}) })
			refused, ok := errors.AsType[*desired.SpecError](err)
			if !ok || refused.Field != field || !strings.Contains(refused.Problem, `"`+wrong+`" is the name of no check`) || !strings.Contains(refused.Problem, "CPUs") {
				t.Errorf("%s: got %v", field, err)
			}
		}
	}
}
