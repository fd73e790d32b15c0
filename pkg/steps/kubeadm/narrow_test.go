package kubeadm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// A change concerns etcd, and the certificates, or it leaves them as they are.
func TestAChangeOfStaticPodsConcernsEtcdOnlyWhenSomethingOfItChanged(t *testing.T) {
	const (
		serving  = "etcdUpgrade: false"
		renewing = "certificateRenewal: false"
	)
	for name, c := range map[string]struct {
		edit func(*v1alpha1.Cluster)
		// says is what stands in the configuration that kubeadm is run with then.
		says []string
	}{
		"an argument of the API server": {func(c *v1alpha1.Cluster) {
			c.Spec.Overrides.Kubeadm = raw(`{"apiServer":{"extraArgs":[{"name":"v","value":"3"}]}}`)
		}, []string{serving, renewing}},
		"an argument of the controller manager": {func(c *v1alpha1.Cluster) {
			c.Spec.Overrides.Kubeadm = raw(`{"controllerManager":{"extraArgs":[{"name":"v","value":"3"}]}}`)
		}, []string{serving, renewing}},
		"an argument of etcd": {func(c *v1alpha1.Cluster) {
			c.Spec.Overrides.Kubeadm = raw(`{"etcd":{"local":{"extraArgs":[{"name":"quota-backend-bytes","value":"4294967296"}]}}}`)
		}, []string{renewing}},
		"where images come from": {func(c *v1alpha1.Cluster) {
			c.Spec.Overrides.Kubeadm = raw(`{"imageRepository":"registry.example.com/k8s"}`)
		}, []string{renewing}},
		"a feature gate of kubeadm": {func(c *v1alpha1.Cluster) {
			c.Spec.Overrides.Kubeadm = raw(`{"featureGates":{"RootlessControlPlane":true}}`)
		}, []string{renewing}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := controlPlane(t, nil), controlPlane(t, c.edit)
			config := taken(t, before, after)
			for _, setting := range []string{serving, renewing} {
				if strings.Contains(config, setting) != slices.Contains(c.says, setting) {
					t.Errorf("it says %q: %v\n%s", setting, !slices.Contains(c.says, setting), config)
				}
			}
		})
	}
	t.Run("a newer version does everything", func(t *testing.T) {
		before := controlPlane(t, nil)
		after := controlPlane(t, nil)
		after.Inputs["configuration.kubernetesVersion"] = "another"
		if config := taken(t, before, after); strings.Contains(config, serving) || strings.Contains(config, renewing) {
			t.Errorf("it leaves something out:\n%s", config)
		}
	})
	t.Run("whoever changed etcd's manifest by hand has it written again", func(t *testing.T) {
		if n := controlPlane(t, nil).Narrower[0]; !slices.Equal(n.Outputs, []string{"/etc/kubernetes/manifests/etcd.yaml"}) {
			t.Errorf("the way without etcd looks at %q", n.Outputs)
		}
	})
	t.Run("copies of etcd do not stay", func(t *testing.T) {
		if got := controlPlane(t, nil).Scratch; !slices.Equal(got, []string{"/etc/kubernetes/tmp/kubeadm-backup-etcd-*"}) {
			t.Errorf("it removes %q", got)
		}
	})
}

func controlPlane(t *testing.T, edit func(*v1alpha1.Cluster)) *hostapi.Command {
	t.Helper()
	c := cluster(t, edit)
	r, err := kubeadm.ControlPlane(c, c.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return r.Command
}

// taken is the configuration that kubeadm is run with on a host where it was done for before and has to be done for after.
func taken(t *testing.T, before, after *hostapi.Command) string {
	t.Helper()
	argv := after.Argv
	for _, n := range after.Narrower {
		if !slices.ContainsFunc(n.Inputs, func(name string) bool { return before.Inputs[name] != after.Inputs[name] }) {
			argv = n.Argv
			break
		}
	}
	for _, f := range after.Files {
		if "--config="+f.Path == argv[len(argv)-1] {
			return string(f.Content)
		}
	}
	t.Fatalf("%q names no file of the command", argv)
	return ""
}
