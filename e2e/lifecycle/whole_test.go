//go:build e2e

package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// state is a cluster in what must be the same however it came about: neither keys nor names of pods nor times.
type state struct {
	// Nodes says of each node its version, whether it is Ready and takes pods, its pool's label and what repels pods.
	Nodes []string
	// Members of etcd with their role.
	Members []string
	// Stale are leases of nodes that there are not.
	Stale []string
	// Hosts says of each host which authority it trusts (by the first one that does), the servers its proxy knows, the static pods it runs,
	// what is left of commands and who holds its lease.
	Hosts map[string][]string
	// Workloads of the system with their images and how many of their pods are available.
	Workloads []string
}

func (w *world) state(t *testing.T) state {
	t.Helper()
	s := state{Hosts: map[string][]string{}}
	for _, n := range w.nodes(t) {
		line := fmt.Sprintf("%s %s ready=%s", n.Name, n.Status.NodeInfo.KubeletVersion, readiness(n))
		if n.Spec.Unschedulable {
			line += " cordoned"
		}
		for _, taint := range n.Spec.Taints {
			// Kubernetes puts these on and takes them off by itself, a little after the node's conditions.
			if strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
				continue
			}
			line += " taint:" + taint.ToString()
		}
		if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
			line += " control-plane"
		}
		if pool := n.Labels["example.com/pool"]; pool != "" {
			line += " pool=" + pool
		}
		s.Nodes = append(s.Nodes, line)
	}
	s.Members = w.members(t)
	s.Stale = slices.DeleteFunc(strings.Fields(w.kubectl(t, "-n", "kube-node-lease", "get", "leases", "-o", "jsonpath={.items[*].metadata.name}")),
		func(name string) bool { return slices.Contains(w.now.hosts(), name) })
	s.Workloads = strings.Split(w.kubectl(t, "get", "daemonsets,deployments", "-A", "-o",
		`jsonpath={range .items[?(@.metadata.namespace!="load")]}{.kind}/{.metadata.name} {.spec.template.spec.containers[*].image} {.status.numberAvailable}{.status.availableReplicas}{"\n"}{end}`), "\n")
	authorities := map[string]string{}
	for _, h := range w.now.hosts() {
		s.Hosts[h] = w.hostState(t, h, authorities)
	}
	return s
}

// atRest prints what shall not be left on a host between two operations, and what ties it to its cluster.
const atRest = `
sha256sum < /etc/kubernetes/pki/ca.crt
grep -o 'server [a-z0-9-]* [0-9.]*:6443' /etc/kubewright/apiserver-proxy.cfg | sort
grep -o 'server [a-z0-9-]* [0-9.]*:2379' /etc/kubewright/apiserver-proxy.cfg | sed 's/^server/member/' | sort
ls /etc/kubernetes/manifests 2>/dev/null | sed 's/^/manifest /'
grep -h 'image: ' /etc/kubernetes/manifests/*.yaml 2>/dev/null | sort -u
ls /run/systemd/transient | grep '^kubewright-' | sed 's/^/unit /'
systemctl list-units --plain --no-legend --no-pager --state=failed | awk '{print "failed", $1}'
pgrep -f '^/var/lib/kubewright-helper/' >/dev/null && echo "a helper runs"
flock --nonblock /var/lib/kubewright/lease true || echo "the lease is held"
/usr/local/bin/kubelet --version
/usr/local/bin/containerd --version | awk '{print $1, $3}'
`

func (w *world) hostState(t *testing.T, host string, authorities map[string]string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(w.exec(t, host, "bash", "-c", atRest)), "\n")
	if authorities[lines[0]] == "" {
		authorities[lines[0]] = host
	}
	lines[0] = "trusts the authority of " + authorities[lines[0]]
	// Two fleets have different networks.
	for i, line := range lines {
		lines[i] = addresses.ReplaceAllString(line, "")
	}
	return lines
}

var addresses = regexp.MustCompile(` \d+[.]\d+[.]\d+[.]\d+:\d+`)

func (w *world) nodes(t *testing.T) []corev1.Node {
	t.Helper()
	var list corev1.NodeList
	if err := json.Unmarshal([]byte(w.kubectl(t, "get", "nodes", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func readiness(n corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// etcdctl asks the member of one control plane.
func (w *world) etcdctl(t *testing.T, host string, args ...string) string {
	t.Helper()
	return w.exec(t, host, append([]string{
		"/usr/local/bin/etcdctl", "--command-timeout=60s", "--dial-timeout=30s", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
		"--cert=/etc/kubernetes/pki/etcd/server.crt", "--key=/etc/kubernetes/pki/etcd/server.key",
	}, args...)...)
}

// leader is the control plane whose member leads etcd, and ids are the members of all.
func (w *world) leader(t *testing.T) (leader string, ids map[string]uint64) {
	t.Helper()
	ids = map[string]uint64{}
	for _, host := range w.now.controlPlanes {
		var answers []struct {
			Status struct {
				Header struct {
					Member uint64 `json:"member_id"`
				} `json:"header"`
				Leader uint64 `json:"leader"`
			} `json:"Status"`
		}
		out := w.etcdctl(t, host, "endpoint", "status", "--write-out=json")
		if err := json.Unmarshal([]byte(out), &answers); err != nil || len(answers) != 1 {
			t.Fatalf("etcdctl endpoint status on %s says %q: %v", host, out, err)
		}
		one := answers[0].Status
		ids[host] = one.Header.Member
		if one.Leader == one.Header.Member {
			if leader != "" {
				t.Fatalf("%s and %s both lead etcd", leader, host)
			}
			leader = host
		}
	}
	return leader, ids
}

// election bounds the wait for etcd's members to agree on a leader; they do so within seconds, even on a machine that has much to do.
const election = time.Minute

// elected is leader as soon as there is one: members that stood still for a moment elect one first.
func (w *world) elected(t *testing.T) (leader string, ids map[string]uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), election)
	defer cancel()
	for {
		if leader, ids = w.leader(t); leader != "" {
			return leader, ids
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no control plane leads etcd %s after it was asked for", election)
		case <-time.After(again):
		}
	}
}

// lead makes the member of a control plane the leader of etcd.
func (w *world) lead(t *testing.T, host string) {
	t.Helper()
	now, ids := w.elected(t)
	if now != host {
		w.etcdctl(t, now, "move-leader", strconv.FormatUint(ids[host], 16))
	}
	if now, _ = w.leader(t); now != host {
		t.Fatalf("%s leads etcd and %s should", now, host)
	}
}

// members lists etcd's members as "name started voting".
func (w *world) members(t *testing.T) []string {
	t.Helper()
	var found []string
	out := w.etcdctl(t, w.now.controlPlanes[0], "member", "list")
	for line := range strings.Lines(strings.TrimSpace(out)) {
		fields := strings.Split(strings.TrimSpace(line), ", ")
		if len(fields) < 6 {
			t.Fatalf("etcdctl member list says %q", line)
		}
		role := "voting"
		if fields[5] != "false" {
			role = "learner"
		}
		found = append(found, strings.Join([]string{fields[2], fields[1], role}, " "))
	}
	slices.Sort(found)
	return found
}

// requireWhole checks that the cluster is as its shape says, in service, and that nothing is left of operations.
func (w *world) requireWhole(t *testing.T) {
	t.Helper()
	t.Run("nodes, etcd members and hosts are as the spec says and nothing is left over", func(t *testing.T) {
		got := w.state(t)
		var names, ready []string
		for _, n := range w.nodes(t) {
			names = append(names, n.Name)
			if n.Status.NodeInfo.KubeletVersion == w.now.version && readiness(n) == corev1.ConditionTrue && !n.Spec.Unschedulable {
				ready = append(ready, n.Name)
			}
		}
		want := slices.Sorted(slices.Values(w.now.hosts()))
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("nodes (-want +have):\n%s", diff)
		}
		if diff := cmp.Diff(want, ready); diff != "" {
			t.Errorf("nodes Ready at %s that take pods (-want +have):\n%s", w.now.version, diff)
		}
		if len(got.Stale) > 0 {
			t.Errorf("there are leases of nodes that there are not: %v", got.Stale)
		}
		var voters []string
		for _, cp := range slices.Sorted(slices.Values(w.now.controlPlanes)) {
			voters = append(voters, cp+" started voting")
		}
		if diff := cmp.Diff(voters, got.Members); diff != "" {
			t.Errorf("etcd members (-want +have):\n%s", diff)
		}
		for _, host := range w.now.hosts() {
			w.requireAtRest(t, host, got.Hosts[host])
		}
	})
}

func (w *world) requireAtRest(t *testing.T, host string, lines []string) {
	t.Helper()
	if want := "trusts the authority of " + w.now.hosts()[0]; lines[0] != want {
		t.Errorf("%s %s", host, lines[0])
	}
	var servers, members []string
	for _, line := range lines {
		if server, ok := strings.CutPrefix(line, "server "); ok {
			servers = append(servers, server)
		}
		if member, ok := strings.CutPrefix(line, "member "); ok {
			members = append(members, member)
		}
		for _, bad := range []string{"unit ", "failed ", "a helper runs", "the lease is held"} {
			if strings.HasPrefix(line, bad) {
				t.Errorf("%s: %s", host, line)
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(w.now.controlPlanes)), servers); diff != "" {
		t.Errorf("the proxy of %s knows other control planes (-want +have):\n%s", host, diff)
	}
	var elsewhere []string
	if all := slices.Sorted(slices.Values(w.now.controlPlanes)); slices.Contains(all, host) {
		elsewhere = slices.DeleteFunc(all, func(name string) bool { return name == host && len(all) > 1 })
	}
	if diff := cmp.Diff(elsewhere, members); diff != "" {
		t.Errorf("the proxy of %s leads to other members of etcd (-want +have):\n%s", host, diff)
	}
}
