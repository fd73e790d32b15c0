package kubeadm_test

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

var update = flag.Bool("update", false, "rewrite golden files")

func cluster(t *testing.T, edit func(*v1alpha1.Cluster)) *desired.Cluster {
	t.Helper()
	spec, hosts := plantest.Spec(3, 1)
	if edit != nil {
		edit(spec)
	}
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := desired.New(spec, hosts, plantest.Releases{plantest.Release()}, authorities)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func raw(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

func TestConfigurationsAreRenderedAsWrittenDown(t *testing.T) {
	for _, c := range []struct {
		name, golden string
		edit         func(*v1alpha1.Cluster)
		render       func(*desired.Cluster) ([]byte, error)
	}{
		{"init with nothing overridden", "init.yaml", nil, func(c *desired.Cluster) ([]byte, error) { return kubeadm.Init(c, c.Hosts[0], "/work") }},
		{"init with overrides of every kind and an external endpoint", "init-overrides.yaml", func(c *v1alpha1.Cluster) {
			c.Spec.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "api.example.com"}
			c.Spec.ControlPlane.CertSANs = []string{"192.0.2.99"}
			c.Spec.Overrides.Kubelet = raw(`{"failSwapOn":false,"featureGates":{"KubeletInUserNamespace":true}}`)
			c.Spec.Overrides.KubeProxy = raw(`{"conntrack":{"maxPerCore":0}}`)
			c.Spec.Overrides.Kubeadm = raw(`{"apiServer":{"extraArgs":[{"name":"v","value":"2"}]},"encryptionAlgorithm":"RSA-2048"}`)
			c.Spec.Overrides.IgnorePreflightErrors = []string{"SystemVerification"}
		}, func(c *desired.Cluster) ([]byte, error) { return kubeadm.Init(c, c.Hosts[0], "/work") }},
		{"joining a control plane", "join-control-plane.yaml", nil, func(c *desired.Cluster) ([]byte, error) { return kubeadm.Join(c.Hosts[1], "/work") }},
		{"joining a worker", "join-worker.yaml", nil, func(c *desired.Cluster) ([]byte, error) { return kubeadm.Join(c.Hosts[3], "/work") }},
		{"joining a control plane with an override for the cluster and one for control planes", "join-control-plane-overrides.yaml", overrideNodes,
			func(c *desired.Cluster) ([]byte, error) { return kubeadm.Join(c.Hosts[1], "/work") }},
		{"joining a worker with an override for the cluster and one for its pool", "join-worker-overrides.yaml", overrideNodes,
			func(c *desired.Cluster) ([]byte, error) { return kubeadm.Join(c.Hosts[3], "/work") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.render(cluster(t, c.edit))
			if err != nil {
				t.Fatal(err)
			}
			plantest.Golden(t, *update, c.golden, got)
		})
	}
}

func TestAnOverrideOfTheWrongShapeIsNamedByItsField(t *testing.T) {
	for override, field := range map[string]string{
		`{"apiServer":"fast"}`:              "spec.overrides.kubeadm.apiServer",
		`{"apiServer":{"extraArgs":"v=2"}}`: "spec.overrides.kubeadm.apiServer.extraArgs",
	} {
		t.Run(override, func(t *testing.T) {
			c := cluster(t, func(c *v1alpha1.Cluster) { c.Spec.Overrides.Kubeadm = raw(override) })
			_, err := kubeadm.Init(c, c.Hosts[0], "/work")
			if err == nil || !strings.HasPrefix(err.Error(), field+":") {
				t.Errorf("got %v, want an error that names %s", err, field)
			}
		})
	}
}

// overrideNodes gives overrides of kubeadm's configuration for all nodes, control planes and a pool. The one for all nodes says something of
// the cluster, too.
func overrideNodes(c *v1alpha1.Cluster) {
	c.Spec.Overrides.Kubeadm = raw(`{"apiServer":{"extraArgs":[{"name":"v","value":"2"}]},"nodeRegistration":{"imagePullSerial":false},"timeouts":{"kubeletHealthCheck":"6m0s"}}`)
	c.Spec.ControlPlane.Overrides.Kubeadm = raw(`{"timeouts":{"etcdAPICall":"3m0s"},"nodeRegistration":{"kubeletExtraArgs":[{"name":"node-ip","value":"198.51.100.1"}]}}`)
	c.Spec.Workers[0].Overrides.Kubeadm = raw(`{"nodeRegistration":{"imagePullSerial":null,"kubeletExtraArgs":[{"name":"v","value":"4"}]}}`)
}

func TestFlagsOfKubeletMustBeAList(t *testing.T) {
	c := cluster(t, func(c *v1alpha1.Cluster) {
		c.Spec.Workers[0].Overrides.Kubeadm = raw(`{"nodeRegistration":{"kubeletExtraArgs":"v=4"}}`)
	})
	_, err := kubeadm.Join(c.Hosts[3], "/work")
	if want := "overrides.kubeadm.nodeRegistration.kubeletExtraArgs: must be a list"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want an error that begins with %q", err, want)
	}
}

func TestWhatKubeadmReadsWhenAHostJoinsIsNoDriftLater(t *testing.T) {
	plain, overridden := cluster(t, nil), cluster(t, overrideNodes)
	overridden.Kubeadm = raw(`{"nodeRegistration":{"imagePullSerial":false}}`) // what it says of the cluster is drift, and rightly so
	for name, command := range map[string]func(*desired.Cluster, desired.Host) (hostapi.Resource, error){
		"initialising a cluster": kubeadm.InitResource,
		"joining a worker": func(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinWorker(c, h)
		},
		"joining a control plane": func(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinFinish(c, h)
		},
		"exchanging static pods":       kubeadm.ControlPlane,
		"kubelet's configuration":      kubeadm.KubeletConfig,
		"the API server's certificate": kubeadm.Certificate,
		"applying kube-proxy":          kubeadm.KubeProxy,
		"what follows another version": kubeadm.PostUpgrade,
		"applying CoreDNS":             kubeadm.CoreDNS,
	} {
		t.Run(name, func(t *testing.T) {
			for i := range plain.Hosts {
				before, err := command(plain, plain.Hosts[i])
				if err != nil {
					t.Fatal(err)
				}
				after, err := command(overridden, overridden.Hosts[i])
				if err != nil {
					t.Fatal(err)
				}
				if before.Command.Key != after.Command.Key {
					t.Errorf("it would be done again on %s", plain.Hosts[i].Name)
				}
			}
		})
	}
}

func TestTimeoutsHoldForUpgradesToo(t *testing.T) {
	c := cluster(t, overrideNodes)
	for i, want := range map[int]string{
		0: "timeouts:\n  etcdAPICall: 3m0s\n  kubeletHealthCheck: 6m0s\n",
		3: "timeouts:\n  kubeletHealthCheck: 6m0s\n",
	} {
		t.Run(c.Hosts[i].Name, func(t *testing.T) {
			r, err := kubeadm.KubeletConfig(c, c.Hosts[i])
			if err != nil {
				t.Fatal(err)
			}
			config := string(r.Command.Files[0].Content)
			if !strings.HasSuffix(config, want) || strings.Contains(config, "nodeRegistration") {
				t.Errorf("its configuration does not end in\n%s:\n%s", want, config)
			}
		})
	}
}

// apiServerArg lists the values that an argument of API servers is given in a ClusterConfiguration.
func apiServerArg(config map[string]any, name string) []string {
	var values []string
	for _, a := range config["apiServer"].(map[string]any)["extraArgs"].([]any) {
		if arg := a.(map[string]any); arg["name"] == name {
			values = append(values, arg["value"].(string))
		}
	}
	return values
}

func TestAnAPIServerEndsSlowlyUnlessToldHowLong(t *testing.T) {
	for override, want := range map[string]string{
		`{}`:                 "5s",
		`{"apiServer":null}`: "5s",
		`{"apiServer":{"extraArgs":[{"name":"v","value":"2"}]}}`:                        "5s",
		`{"apiServer":{"extraArgs":[{"name":"shutdown-delay-duration","value":"0s"}]}}`: "0s",
	} {
		t.Run(override, func(t *testing.T) {
			config, err := kubeadm.ClusterConfiguration(cluster(t, func(c *v1alpha1.Cluster) { c.Spec.Overrides.Kubeadm = raw(override) }))
			if err != nil {
				t.Fatal(err)
			}
			if got := apiServerArg(config, "shutdown-delay-duration"); !slices.Equal(got, []string{want}) {
				t.Errorf("the delays are %q, want only %q", got, want)
			}
		})
	}
}

func TestAnAPIServerKnowsOtherMembersOfEtcdUnlessToldOtherwise(t *testing.T) {
	for name, test := range map[string]struct {
		override, address string
		want              []string
	}{
		"by default":                     {`{}`, "192.0.2.1", []string{"https://127.0.0.1:2379,https://127.0.0.1:7379"}},
		"on hosts with IPv6":             {`{}`, "2001:db8::1", []string{"https://[::1]:2379,https://127.0.0.1:7379"}},
		"when the user says which":       {`{"apiServer":{"extraArgs":[{"name":"etcd-servers","value":"https://127.0.0.1:2379"}]}}`, "192.0.2.1", []string{"https://127.0.0.1:2379"}},
		"when etcd is somewhere else":    {`{"etcd":{"external":{"endpoints":["https://192.0.2.50:2379"]}}}`, "192.0.2.1", nil},
		"when etcd is given an argument": {`{"etcd":{"local":{"extraArgs":[{"name":"quota-backend-bytes","value":"8589934592"}]}}}`, "192.0.2.1", []string{"https://127.0.0.1:2379,https://127.0.0.1:7379"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, func(c *v1alpha1.Cluster) { c.Spec.Overrides.Kubeadm = raw(test.override) })
			for i := range c.Hosts {
				c.Hosts[i].Address = test.address
			}
			config, err := kubeadm.ClusterConfiguration(c)
			if err != nil {
				t.Fatal(err)
			}
			if got := apiServerArg(config, "etcd-servers"); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAJoinThatHadStartedKubeletDoesNotStartItAgain(t *testing.T) {
	c := cluster(t, nil)
	for name, r := range map[string]func(*desired.Cluster, desired.Host) (hostapi.Resource, error){"worker": kubeadm.JoinWorker, "control plane": kubeadm.JoinPrepare} {
		t.Run(name, func(t *testing.T) {
			r, err := r(c, c.Hosts[1])
			if err != nil {
				t.Fatal(err)
			}
			skipped := func(argv []string) []string {
				for _, a := range argv {
					if phases, ok := strings.CutPrefix(a, "--skip-phases="); ok {
						return strings.Split(phases, ",")
					}
				}
				return nil
			}
			first, again := skipped(r.Command.Argv), skipped(r.Command.Begun.Argv)
			if !slices.Equal(again, append(slices.Clone(first), "kubelet-start")) {
				t.Errorf("it leaves out %q at first and %q when kubelet was started", first, again)
			}
			if r.Command.Begun.Path != "/var/lib/kubelet/cpu_manager_state" {
				t.Errorf("it tells by %s", r.Command.Begun.Path)
			}
		})
	}
}

func TestAJoiningHostPresentsItsOwnNodesIdentityAndNoOther(t *testing.T) {
	c := cluster(t, nil)
	identity, err := kubeadm.KubeletClient(c, c.Hosts[3], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, identity.Cert)
	if cert.Subject.CommonName != "system:node:w1" || strings.Join(cert.Subject.Organization, ",") != "system:nodes" {
		t.Errorf("its identity is %s", cert.Subject)
	}
	for name, make := range map[string]func(*desired.Cluster, desired.Host) (hostapi.Resource, error){
		"a worker": kubeadm.JoinWorker, "a control plane prepares": kubeadm.JoinPrepare, "a control plane joins etcd": kubeadm.JoinEtcd, "a control plane finishes": kubeadm.JoinFinish,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := make(c, c.Hosts[3])
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Command.Files {
				if len(planted.In(f.Content, planted.PrivateKey())) > 0 || f.Secret {
					t.Errorf("%s holds a secret", f.Path)
				}
			}
			if config := string(r.Command.Files[0].Content); !strings.Contains(config, "kubeConfigPath: /etc/kubernetes/kubelet.conf") {
				t.Errorf("it presents something else:\n%s", config)
			}
		})
	}
}
