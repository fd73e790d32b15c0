package provision

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// cost is what a host was asked: connections that its SSH server took, and requests to its helper.
type cost struct {
	Connections int
	Requests    int64
}

// The cluster is one of three control planes and otherwise workers, of which the last one is new.
func TestAddingOneWorkerCostsTheSameInAClusterOf4AsOf40(t *testing.T) {
	of4, of40 := newAddition(t, 4), newAddition(t, 40)
	for _, a := range []*addition{of4, of40} {
		a.run(t)
		for name, got := range a.costs(t) {
			switch name {
			case a.joins:
				if got.Requests == 0 {
					t.Errorf("%s joined a cluster of %d without a request to it", name, len(a.machines)-1)
				}
			case "cp1":
				// The cluster is reached through it, and whatever is done in the cluster is a step on it.
				if want := (cost{1, 1}); got != want {
					t.Errorf("%s, through which a cluster of %d is reached, cost %+v, want %+v", name, len(a.machines)-1, got, want)
				}
			default:
				if got != (cost{}) {
					t.Errorf("%s of a cluster of %d is not concerned and cost %+v", name, len(a.machines)-1, got)
				}
			}
		}
	}
	if small, large := of4.costs(t)[of4.joins], of40.costs(t)[of40.joins]; small != large {
		t.Errorf("the new host cost %+v in a cluster of 4 and %+v in one of 40", small, large)
	} else {
		t.Logf("the new host cost %+v", small)
	}
	for name, steps := range map[string]map[string][]string{"cp1": {"4": of4.steps["cp1"], "40": of40.steps["cp1"]}, "the new host": {"4": of4.steps[of4.joins], "40": of40.steps[of40.joins]}} {
		if diff := cmp.Diff(steps["4"], steps["40"]); diff != "" {
			t.Errorf("%s goes through other steps in a cluster of 40 (-4 +40):\n%s", name, diff)
		}
	}
}

// When the spec was changed otherwise, too, nobody knows how hosts are before they were looked at: each is read once and compared once.
func TestLookingAtEveryHostCostsEachTheSameInAClusterOf4AsOf40(t *testing.T) {
	for _, size := range []int{4, 40} {
		a := newAddition(t, size)
		a.record(t, "sha256:another")
		a.bind(t)
		for name, got := range a.costs(t) {
			if want := (cost{1, 2}); got != want {
				t.Errorf("%s of a cluster of %d cost %+v before anything is done, want %+v", name, size, got, want)
			}
		}
	}
}

// addition is an operation that adds one worker to a cluster, over machines that count what they are asked.
type addition struct {
	*execution
	machines map[string]*machine
	// joins is the new worker.
	joins string
	// steps of the graph by host.
	steps map[string][]string
}

// newAddition makes a cluster of so many nodes and an operation that adds a worker to it.
func newAddition(t *testing.T, size int) *addition {
	t.Helper()
	const controlPlanes = 3
	spec, hosts := plantest.Spec(controlPlanes, size-controlPlanes+1)
	workers := spec.Spec.Workers[0].Hosts
	a := &addition{machines: map[string]*machine{}, joins: workers[len(workers)-1]}
	b := smallBundle(t)
	r := Request{
		Addresses:   addresses.Local(),
		Operation:   v1alpha1.ClusterOperation{ObjectMeta: metav1.ObjectMeta{Name: "demo-scale-1"}, Spec: v1alpha1.ClusterOperationSpec{Type: v1alpha1.ScaleOperation}},
		Cluster:     *spec,
		Bundle:      b,
		Authorities: plantest.Authorities(),
	}
	helper, err := b.Config().Releases[0].File("kubewright-host", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range hosts {
		m := newMachine(t)
		m.with(func() { m.files[helperPath(helper)] = []byte(helper.Name) })
		for _, module := range []string{"nf_conntrack", "nf_tables", "vxlan"} {
			m.host.Write(t, "/sys/module/"+module+"/initstate", "live\n")
		}
		m.host.Write(t, "/run/containerd/containerd.sock", "")
		a.machines[name] = m
		h.Spec.Address, h.Spec.InternalAddress, h.Spec.Port = m.Host(), h.Spec.Address, int32(m.Port())
		h.Spec.HostKeys = v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: m.HostKeyLines()}
		r.Hosts = append(r.Hosts, hostAt(name, h.Spec, map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")}))
		if name != a.joins {
			m.done(t, map[string]string{"cp1": kubeadm.InitCommand, "cp2": kubeadm.JoinFinishCommand, "cp3": kubeadm.JoinFinishCommand}[name])
		}
	}
	if a.execution, err = (&runner{Options{Holder: t.Name(), TunnelOnly: true}}).prepare(r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.close(&Outcome{Hosts: map[string]HostOutcome{}}) })
	a.record(t, a.specDigest)
	return a
}

// record makes the cluster remember the spec that was brought about last; its nodes are as that wants them.
func (a *addition) record(t *testing.T, digest string) {
	t.Helper()
	builder := fakeclient.NewClientBuilder().WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metaSystem, Name: "kubeadm-config", Annotations: map[string]string{specAnnotation: digest}},
	})
	a.state = plan.State{Nodes: map[string]plan.Node{}, APIServers: map[string]string{}, MembersKnown: true}
	for _, h := range a.desired.Hosts {
		if h.Name == a.joins {
			continue
		}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name, Labels: map[string]string{}, Annotations: map[string]string{}}}
		n.Spec.Taints = h.Taints
		n.Status.NodeInfo.KubeletVersion = h.KubeletVersion
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		change, _ := reconciled(n, h.Labels, h.Taints)
		note, _ := change["metadata"].(map[string]any)["annotations"].(map[string]any)[managedAnnotation].(string)
		n.Annotations[managedAnnotation] = note
		for key, value := range h.Labels {
			n.Labels[key] = value
		}
		if h.IsControlPlane() {
			n.Labels[controlPlaneLabel] = ""
			a.state.Members = append(a.state.Members, plan.Member{Name: h.Name})
			a.state.APIServers[h.Name] = h.KubeletVersion
		}
		a.state.Nodes[h.Name] = plan.Node{Kubelet: h.KubeletVersion, Ready: true}
		builder = builder.WithObjects(n)
	}
	a.kube.client = builder.Build()
}

// bind does all that comes before the first change: it connects, looks, plans and compares.
func (a *addition) bind(t *testing.T) (*plan.Graph, engine.Graph) {
	t.Helper()
	outcome := &Outcome{Hosts: map[string]HostOutcome{}}
	if err := a.narrow(t.Context(), outcome); err != nil {
		t.Fatal(err)
	}
	// A directory lacks much of what a machine has, and preflight, which asks nobody, says so.
	if err := a.survey(t.Context(), outcome); err != nil {
		if _, ok := errors.AsType[*PreflightError](err); !ok {
			t.Fatal(err)
		}
	}
	graph, err := a.plan()
	if err != nil {
		t.Fatal(err)
	}
	bound, err := a.execution.bind(t.Context(), graph, false)
	if err != nil {
		t.Fatal(err)
	}
	a.steps = map[string][]string{}
	for _, s := range graph.Steps {
		for _, host := range s.Hosts {
			a.steps[host] = append(a.steps[host], s.ID)
		}
	}
	return graph, bound
}

// run carries the operation out: everything that is done on hosts. What is done through the cluster's API is left out; it is steps on cp1 and on
// the new host alone, whatever the size of the cluster.
func (a *addition) run(t *testing.T) {
	t.Helper()
	graph, bound := a.bind(t)
	for host := range a.steps {
		if host != "cp1" && host != a.joins {
			t.Errorf("steps are planned on %s: %v", host, a.steps[host])
		}
	}
	// kubeadm itself must not run here: machines find that it has run when they are asked to.
	i := slices.IndexFunc(graph.Steps, func(s plan.Step) bool { return s.ID == plan.StepJoin })
	a.machines[a.joins].ran(t, graph.Steps[i].Resources[a.joins][0].Command)
	if slices.ContainsFunc(graph.Steps, func(s plan.Step) bool { return s.ID == plan.StepInit }) {
		t.Error("a cluster that runs is said to be initialised once more")
	}
	// Nor is there a pod that asks for a subnet.
	a.machines[a.joins].host.Write(t, "/run/flannel/subnet.env", "FLANNEL_SUBNET=10.244.9.1/24\n")
	result, err := engine.Run(t.Context(), bound, engine.Options{Skip: []string{"cluster"}})
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := result.Outcome(plan.StepPodNetwork, a.joins); !ok || o.State != engine.StateChanged {
		t.Errorf("the last step on the new host ended as %q", o.State)
	}
}

// costs is what every machine was asked so far.
func (a *addition) costs(t *testing.T) map[string]cost {
	t.Helper()
	all := map[string]cost{}
	for name, m := range a.machines {
		_, stats := a.sessions.cost(name)
		all[name] = cost{m.Accepted(), stats.Requests}
	}
	return all
}

// done leaves on a machine the receipt of the command that made it a node; without a name that of a worker.
func (m *machine) done(t *testing.T, command string) {
	t.Helper()
	if command == "" {
		command = kubeadm.JoinCommand
	}
	m.receipt(t, command, plantest.UID)
}

// ran leaves on a machine what a command leaves that came to a good end.
func (m *machine) ran(t *testing.T, command *hostapi.Command) {
	t.Helper()
	for _, path := range command.Creates {
		m.host.Write(t, path, "made by kubeadm\n")
	}
	m.receipt(t, command.Name, command.Key)
}

func (m *machine) receipt(t *testing.T, command, key string) {
	t.Helper()
	text, err := json.Marshal(detach.Receipt{Key: key, Operation: "demo-install-1", Finished: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	m.host.Write(t, "/var/lib/kubewright/receipts/"+command+".json", string(text))
}

// smallBundle holds a release in which every file and layer is its own name.
func smallBundle(t *testing.T) *bundle.Bundle {
	t.Helper()
	r := plantest.Release()
	blobs := map[digest.Digest]bundle.Blob{}
	blob := func(content string) bundle.Descriptor {
		sum, b := bundle.BytesBlob([]byte(content))
		blobs[sum] = b
		return bundle.Descriptor{MediaType: "application/octet-stream", Digest: sum, Size: int64(len(content))}
	}
	for i := range r.Files {
		r.Files[i].Version = "v1"
		blob(r.Files[i].Name)
	}
	for _, component := range []string{"flannel", "metrics-server"} {
		flannel, metricsServer := plantest.Objects()
		objects := flannel
		if component == "metrics-server" {
			objects = metricsServer
		}
		text, err := json.Marshal(objects[0])
		if err != nil {
			t.Fatal(err)
		}
		d := blob(string(text))
		r.Files = append(r.Files, bundle.File{Name: component + ".yaml", Kind: bundle.FileManifest, Component: component, Version: "v1", Digest: d.Digest, Size: d.Size, Mode: 0o644})
	}
	for i := range r.Images {
		name := r.Images[i].Component
		r.Images[i].Version = "v1"
		config, layer := blob(`{"architecture":"amd64","os":"linux","author":"`+name+`"}`), blob(name+"-layer")
		r.Images[i].Platforms = []bundle.ImagePlatform{{
			Platform: "linux/amd64", Config: config, Layers: []bundle.Descriptor{layer},
			Manifest: blob(manifestOf(t, config, layer)),
		}}
	}
	path := filepath.Join(t.TempDir(), "small.bundle")
	if _, err := bundle.Write(t.Context(), path, &bundle.Config{Name: "small", Created: time.Unix(0, 0), Releases: []bundle.Release{*r}}, blobs); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// manifestOf is an image's manifest, as registries keep it.
func manifestOf(t *testing.T, config bundle.Descriptor, layers ...bundle.Descriptor) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// forget takes away what a machine holds of having joined.
func (m *machine) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(m.host.Path("/var/lib/kubewright/receipts")); err != nil {
		t.Fatal(err)
	}
}
