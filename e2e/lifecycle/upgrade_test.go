//go:build e2e

package lifecycle

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
)

func TestUpgradeOverTwoMinorVersionsUnderLoad(t *testing.T) {
	begin := shape{oldest, []string{"n1", "n2", "n3"}, []string{"n4", "n5"}}
	w := newWorld(t, "upgrade", 5)
	w.requireVersions(t, oldest, older, newest)
	w.tell(t, []scenario{
		{"a minor version that no bundle holds cannot be skipped, and nothing is touched", begin, skipMinor},
		{"3 control planes and 2 workers from 1.34 over 1.35 to 1.36", begin, upgradeChain},
	})
}

// skipMinor carries only the newest version to a site that is two minor versions behind.
func skipMinor(t *testing.T, w *world) {
	whole := w.Bundle
	w.Bundle = filepath.Join(filepath.Dir(whole), "kubernetes-1.36.bundle")
	defer func() { w.Bundle = whole }()
	w.refused(t, refusal{to: version(newest), says: []string{"v1.35", oldest, newest}})
}

func upgradeChain(t *testing.T, w *world) {
	to := w.now
	to.version = newest
	load := w.beginLoad(t, "n4")
	watch := w.watchNodes(t, "n1")
	began := time.Now()
	out := w.must(t, to)
	took := time.Since(began)
	reports := load.end(t)
	t.Logf("measured: upgraded 5 nodes over 2 minor versions in %s", took.Round(time.Second))
	requireServed(t, reports)
	t.Logf("what was done when:\n%s", out)
	t.Logf("what became of pods of the system when:\n%s", w.kubectl(t, "get", "events", "--namespace", "kube-system", "--sort-by=.lastTimestamp", "-o",
		`jsonpath={range .items[?(@.involvedObject.kind=="Pod")]}{.lastTimestamp} {.involvedObject.name} {.reason} {.source.host}{"\n"}{end}`))
	t.Run("it was a chain of two operations", func(t *testing.T) {
		for _, v := range []string{older, newest} {
			if !strings.Contains(out, v) {
				t.Errorf("the output does not speak of %s", v)
			}
		}
	})
	t.Run("not more than one node at a time was out of service", watch.requireOneAtATime)
	t.Run("each node was drained", func(t *testing.T) { watch.requireCordoned(t, to.hosts()...) })
	w.requireWhole(t)
	t.Run("every component is of the new version", func(t *testing.T) { w.requireComponents(t, newest, "3.6.8-0", "v1.14.2") })
	t.Run("a verified snapshot of etcd from before each of the two is on one control plane", func(t *testing.T) { w.requireSnapshots(t, 2) })
	t.Run("running again changes nothing", w.requireNothingToDo)
}

// snapshot is what a control plane's receipt says of a snapshot of etcd that it holds.
type snapshot struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// requireSnapshots wants that so many snapshots are on the one control plane that everything is done on which is done once, in the directory and
// with the name that the documentation says, encrypted, readable by root alone, and what the receipts say of them, which verifying leaves behind.
func (w *world) requireSnapshots(t *testing.T, want int) {
	t.Helper()
	const directory = "/var/lib/kubewright/etcd-backups/"
	var holders []string
	for _, host := range w.now.controlPlanes {
		receipts := json.NewDecoder(strings.NewReader(w.exec(t, host, "sh", "-c", "cat /var/lib/kubewright/receipts/backups/*.json 2>/dev/null || true")))
		found := 0
		for ; receipts.More(); found++ {
			var s snapshot
			if err := receipts.Decode(&s); err != nil {
				t.Fatalf("receipts of snapshots on %s: %v", host, err)
			}
			if !strings.HasPrefix(s.Path, directory+w.Name+"-"+w.Name+"-upgrade-") || !strings.HasSuffix(s.Path, ".tar.age") {
				t.Errorf("%s holds a snapshot at %s", host, s.Path)
			}
			is := strings.Fields(w.exec(t, host, "sh", "-c", `stat -c '%a %s' "$0"; sha256sum < "$0"; head -c 21 "$0"`, s.Path))
			if says := []string{"600", strconv.FormatInt(s.Size, 10), strings.TrimPrefix(s.Digest, "sha256:"), "-", "age-encryption.org/v1"}; !slices.Equal(is, says) {
				t.Errorf("%s on %s is %v, and should be %v", s.Path, host, is, says)
			}
		}
		if found > 0 {
			holders = append(holders, host)
			if found != want {
				t.Errorf("%s holds %d snapshots, want %d", host, found, want)
			}
		}
	}
	if len(holders) != 1 {
		t.Errorf("snapshots are on %v, want them on one control plane", holders)
	}
}

// requireComponents reads the images of everything that belongs to a version of Kubernetes.
func (w *world) requireComponents(t *testing.T, kubernetes, etcd, coredns string) {
	t.Helper()
	running := w.kubectl(t, "get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.spec.containers[*].image}{"\n"}{end}`)
	counts := map[string]int{}
	for image := range strings.Lines(running) {
		counts[strings.TrimSpace(image)]++
	}
	for image, want := range map[string]int{
		"registry.k8s.io/kube-apiserver:" + kubernetes:          len(w.now.controlPlanes),
		"registry.k8s.io/kube-controller-manager:" + kubernetes: len(w.now.controlPlanes),
		"registry.k8s.io/kube-scheduler:" + kubernetes:          len(w.now.controlPlanes),
		"registry.k8s.io/etcd:" + etcd:                          len(w.now.controlPlanes),
		"registry.k8s.io/kube-proxy:" + kubernetes:              len(w.now.hosts()),
		"registry.k8s.io/coredns/coredns:" + coredns:            2,
	} {
		if counts[image] != want {
			t.Errorf("%d pods run %s, want %d", counts[image], image, want)
		}
	}
	for image := range counts {
		for _, part := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
			if strings.Contains(image, part) && !strings.HasSuffix(image, ":"+kubernetes) {
				t.Errorf("%d pods still run %s", counts[image], image)
			}
		}
	}
}

func TestUpgradeThatIsBlockedAndCancelled(t *testing.T) {
	begin := shape{older, []string{"n1"}, []string{"n2", "n3"}}
	w := newWorld(t, "blocked", 3)
	w.requireVersions(t, older, newest)
	w.tell(t, []scenario{
		{"kubelets newer than the API server are refused, and nothing is touched", begin, func(t *testing.T, w *world) {
			w.refused(t, refusal{to: same, edit: fixture.SetPool(newest, "version"), says: []string{"spec.workers", "newer than spec.version " + older}})
		}},
		{"a pool lags behind, then a PodDisruptionBudget stops its upgrade, and Force ends it", begin, upgradeBlocked},
	})
}

func TestPatchUpgradeBringsAnotherRuntimeAndPodNetwork(t *testing.T) {
	begin := shape{patched, []string{"n1"}, []string{"n2", "n3"}}
	w := newWorld(t, "patch", 3)
	w.requireVersions(t, patched, newest)
	w.tell(t, []scenario{{"1 control plane and 2 workers from a patch to a later one, with another containerd and flannel", begin, upgradePatch}})
}

// upgradePatch changes the version by a patch. The bundle's older release has an older containerd and an older flannel, so both are exchanged.
func upgradePatch(t *testing.T, w *world) {
	t.Run("it begins with the older ones", func(t *testing.T) { w.requireRuntimeAndNetwork(t, "2.2.9", "v0.28.4") })
	w.deploy(t, lasting, "default", "daemonset/lasting")
	to := w.now
	to.version = newest
	w.must(t, to)
	w.requireWhole(t)
	t.Run("every component is of the new version", func(t *testing.T) { w.requireComponents(t, newest, "3.6.8-0", "v1.14.2") })
	t.Run("every node runs the newer containerd, and the newer flannel", func(t *testing.T) { w.requireRuntimeAndNetwork(t, "2.3.4", "v0.28.10") })
	t.Run("a pod that runs on every node and is not drained was not begun anew", w.requireLasted)
	t.Run("running again changes nothing", w.requireNothingToDo)
}

// lasting is a pod on each node that a drain leaves where it is, as those of DaemonSets are.
const lasting = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: lasting, namespace: default}
spec:
  selector: {matchLabels: {app: lasting}}
  template:
    metadata: {labels: {app: lasting}}
    spec:
      tolerations: [{operator: Exists}]
      containers:
      - {name: lasting, image: "docker.io/kubewright/netcheck:v1", args: [serve]}
`

// requireLasted wants that containers outlived the exchange of containerd below them.
func (w *world) requireLasted(t *testing.T) {
	restarts := strings.Fields(w.kubectl(t, "get", "pods", "-l", "app=lasting", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}"))
	if len(restarts) != len(w.now.hosts()) || slices.ContainsFunc(restarts, func(n string) bool { return n != "0" }) {
		t.Errorf("restarts are %v, want one pod on each node that was never begun anew", restarts)
	}
}

// requireRuntimeAndNetwork asks nodes and pods for the versions of containerd and flannel.
func (w *world) requireRuntimeAndNetwork(t *testing.T, containerd, flannel string) {
	t.Helper()
	for _, n := range w.nodes(t) {
		if have, want := n.Status.NodeInfo.ContainerRuntimeVersion, "containerd://"+containerd; strings.ReplaceAll(have, "//v", "//") != want {
			t.Errorf("%s runs %s, want %s", n.Name, have, want)
		}
	}
	images := strings.Fields(w.kubectl(t, "-n", "kube-flannel", "get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"))
	if want := "ghcr.io/flannel-io/flannel:" + flannel; len(images) != len(w.now.hosts()) || slices.ContainsFunc(images, func(image string) bool { return image != want }) {
		t.Errorf("pods of the network run %v, want %s on each node", images, want)
	}
}

// stubborn is a pod whose budget allows no disruption at all.
const stubborn = `
apiVersion: v1
kind: Namespace
metadata: {name: stubborn}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stubborn, namespace: stubborn}
spec:
  replicas: 1
  selector: {matchLabels: {app: stubborn}}
  template:
    metadata: {labels: {app: stubborn}}
    spec:
      containers:
      - {name: stubborn, image: "docker.io/kubewright/netcheck:v1", args: [serve]}
      nodeSelector: {kubernetes.io/hostname: n2}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: stubborn, namespace: stubborn}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: stubborn}}
`

// slow is a pod on each node that pods may run on, which takes its time to end: time to do something while a node is drained.
const slow = `
apiVersion: v1
kind: Namespace
metadata: {name: slow}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: slow, namespace: slow}
spec:
  replicas: 3
  selector: {matchLabels: {app: slow}}
  template:
    metadata: {labels: {app: slow}}
    spec:
      terminationGracePeriodSeconds: 60
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: slow}}}
      containers:
      - {name: slow, image: "docker.io/kubewright/netcheck:v1", args: [serve, -grace, 12s]}
`

// lagPool upgrades the control plane and holds the pool of workers where it is, as skew allows.
func (w *world) lagPool(t *testing.T, to shape) {
	t.Helper()
	before := w.versionsOfNodes(t)
	w.must(t, to, fixture.SetPool(older, "version"))
	t.Run("the control plane is new, and the kubelets of the pool are where they were", func(t *testing.T) {
		after := w.versionsOfNodes(t)
		for _, host := range to.controlPlanes {
			if after[host] != newest {
				t.Errorf("%s is at %s", host, after[host])
			}
		}
		for _, host := range to.workers {
			if before[host] != older || after[host] != older {
				t.Errorf("%s was at %s and is at %s", host, before[host], after[host])
			}
		}
	})
	t.Run("the cluster says that it is as wanted", func(t *testing.T) {
		status, err := w.call(t, "status", w.Name)
		if err != nil {
			t.Fatalf("kubewright status: %v\n%s", err, status)
		}
		for _, text := range []string{newest + " (wanted " + newest + ")", "3 wanted, 3 joined, 3 ready"} {
			if !strings.Contains(status, text) {
				t.Errorf("it does not say %q:\n%s", text, status)
			}
		}
	})
	t.Run("running again lets the pool be where it is", w.requireNothingToDo)
}

// versionsOfNodes are those of the kubelets, by node.
func (w *world) versionsOfNodes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, n := range w.nodes(t) {
		found[n.Name] = n.Status.NodeInfo.KubeletVersion
	}
	return found
}

// guardSlow gives the slow pods a budget that allows no disruption.
const guardSlow = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: slow, namespace: slow}
spec:
  minAvailable: 3
  selector: {matchLabels: {app: slow}}
`

// drainPolicy says how long a drain may take, and what follows.
func drainPolicy(timeout, onTimeout string) fixture.Edit {
	return fixture.Set("Cluster", "", map[string]any{"drain": map[string]any{"timeout": timeout, "onTimeout": onTimeout}}, "spec", "rollout")
}

// upgradeByForce carries the upgrade through on the one worker that is left, though a budget allows none of its pods to be evicted.
func (w *world) upgradeByForce(t *testing.T, to shape) {
	t.Helper()
	w.kubectl(t, "-n", "slow", "rollout", "status", "deployment/slow", "--timeout=180s")
	w.apply(t, guardSlow)
	w.kubectl(t, "-n", "slow", "wait", "--for=jsonpath={.status.currentHealthy}=3", "pdb/slow", "--timeout=120s")
	last := ""
	for name, v := range w.versionsOfNodes(t) {
		if v == older {
			last = name
		}
	}
	on := func(node string) []string {
		return strings.Fields(w.kubectl(t, "-n", "slow", "get", "pods", "-o", "jsonpath={.items[*].metadata.uid}", "--field-selector=spec.nodeName="+node))
	}
	guarded := on(last)
	if last == "" || len(guarded) == 0 {
		t.Fatalf("no pod is guarded on a worker that is left: %q", last)
	}
	const deadline = 20 * time.Second
	out := w.must(t, to, drainPolicy(deadline.String(), "Force"))
	all := w.kubectl(t, "-n", "slow", "get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
	for _, uid := range guarded {
		if strings.Contains(all, uid) {
			t.Errorf("pod %s, which the budget guarded on %s, is there still", uid, last)
		}
	}
	w.kubectl(t, "-n", "slow", "get", "pdb", "slow")
	// The duration is rounded.
	if took := spans(t, out, "worker/drain")[last]; took.ended.Sub(took.began) < deadline-time.Second {
		t.Errorf("the drain of %s took %s; the budget was not respected for %s", last, took.ended.Sub(took.began), deadline)
	}
}

func upgradeBlocked(t *testing.T, w *world) {
	w.deploy(t, stubborn, "stubborn", "deployment/stubborn")
	to := w.now
	to.version = newest
	w.lagPool(t, to)
	out, err := w.change(t, to, fixture.SetPool("", "version"), drainPolicy("20s", "Abort"))
	t.Run("it fails, and names node, pod and budget", func(t *testing.T) {
		if err == nil {
			t.Fatalf("it was done:\n%s", tail(out, 30))
		}
		for _, text := range []string{"n2", "stubborn/stubborn", "PodDisruptionBudget"} {
			if !strings.Contains(out, text) {
				t.Errorf("it does not say %q", text)
			}
		}
		t.Log(tail(out, 20))
	})
	t.Run("no node is cordoned, the blocked one is as it was, the control plane is new", func(t *testing.T) {
		for _, n := range w.nodes(t) {
			if n.Spec.Unschedulable {
				t.Errorf("%s is cordoned", n.Name)
			}
			want := map[string]string{"n1": newest, "n2": older}[n.Name]
			if have := n.Status.NodeInfo.KubeletVersion; want != "" && have != want {
				t.Errorf("kubelet of %s is %s, want %s", n.Name, have, want)
			}
		}
	})
	t.Run("the pod was not disturbed", func(t *testing.T) {
		if node := w.kubectl(t, "-n", "stubborn", "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName} {.items[*].status.containerStatuses[0].restartCount}"); node != "n2 0" {
			t.Errorf("pods and restarts are %q", node)
		}
	})
	w.kubectl(t, "-n", "stubborn", "delete", "pdb", "stubborn")

	t.Run("cancelled while a worker is in hand, it carries that one through and begins no other", func(t *testing.T) {
		w.describe(t, to, drainPolicy("3m", "Abort"))
		w.deploy(t, slow, "slow", "deployment/slow")
		up := w.start(t)
		w.await(t, up, `n[23] +worker/drain +running`)
		if out, err := w.call(t, "cancel", w.Name); err != nil {
			t.Fatalf("kubewright cancel: %v\n%s", err, out)
		}
		if out, err := up.Wait(); err == nil {
			t.Errorf("it was not stopped:\n%s", tail(out, 30))
		}
		news := 0
		for _, n := range w.nodes(t) {
			if n.Spec.Unschedulable {
				t.Errorf("%s is cordoned", n.Name)
			}
			if n.Status.NodeInfo.KubeletVersion == newest {
				news++
			}
		}
		if news != 2 {
			t.Errorf("%d nodes are at %s, want the control plane and one worker", news, newest)
		}
	})
	t.Run("with Force, what a budget guards is deleted when the time is over, and the upgrade ends", func(t *testing.T) { w.upgradeByForce(t, to) })
	w.requireWhole(t)
	t.Run("every component is of the new version", func(t *testing.T) { w.requireComponents(t, newest, "3.6.8-0", "v1.14.2") })
}
