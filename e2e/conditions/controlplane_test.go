//go:build e2e

package conditions

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// controlPlanes are control planes that do not start as they should, and nodes that somebody laid hands on.
func controlPlanes() []condition {
	const policy = "/etc/kubernetes/audit/policy.yaml"
	return []condition{
		{
			name: "a file that an argument of the API server names and that is not on the host is refused",
			edit: apiServer(map[string]any{
				"extraArgs":    []any{map[string]any{"name": "audit-policy-file", "value": policy}},
				"extraVolumes": []any{map[string]any{"name": "audit", "hostPath": "/etc/kubernetes/audit", "mountPath": "/etc/kubernetes/audit", "readOnly": true}},
			}),
			code: failed,
			says: []string{"StaticPodFiles", "overrides.kubeadm.apiServer.extraArgs: audit-policy-file: " + policy + " does not exist"},
		},
		{
			name: "a file that no volume brings into the static pod is refused",
			edit: apiServer(map[string]any{"extraArgs": []any{map[string]any{"name": "audit-policy-file", "value": policy}}}),
			code: failed,
			says: []string{"audit-policy-file names " + policy, "overrides.kubeadm.apiServer.extraVolumes"},
		},
		{
			name: "an API server that ends again and again fails the edit at once with its last words, and the former one serves on; a dead webhook is named first",
			running: func(t *testing.T, s *site) {
				refusedArgument(t, s)
				deadWebhook(t, s)
			},
		},
		{
			name:    "a kubelet that ends again and again fails the installation at once with its last words",
			running: refusedKubelet,
		},
		{
			name: "etcd that is out of space is named with what to do, and what docs/lifecycle.md says helps",
			edit: fixture.Set("Cluster", "", map[string]any{"local": map[string]any{
				"extraArgs": []any{map[string]any{"name": "quota-backend-bytes", "value": "16777216"}},
			}}, "spec", "overrides", "kubeadm", "etcd"),
			running: fillEtcd,
		},
		{
			name:    "nodes that were deleted, and a worker that was reset by hand, come back; a node's address stays; a worker that was given up does not come back",
			workers: true,
			running: func(t *testing.T, s *site) {
				refuseRenumbering(t, s)
				bringBack(t, s)
				giveUp(t, s)
			},
		},
	}
}

// apiServer sets the section of the API server in what is laid over kubeadm's configuration.
func apiServer(section map[string]any) fixture.Edit {
	return fixture.Set("Cluster", "", map[string]any{"apiServer": section}, "spec", "overrides", "kubeadm")
}

func refusedArgument(t *testing.T, s *site) {
	s.describe(t, false, apiServer(map[string]any{"extraArgs": []any{map[string]any{"name": "no-such-argument", "value": "x"}}}))
	out, code := s.up(t)
	if code != failed {
		t.Fatalf("kubewright up ended with code %d, want %d", code, failed)
	}
	for _, text := range []string{"static pod kube-apiserver ends again and again: Error: unknown flag: --no-such-argument", "its former manifests were put back"} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	s.describe(t, false, nil)
	s.mustUp(t)
	s.kubectl(t, "get", "nodes")
}

func refusedKubelet(t *testing.T, s *site) {
	s.remove(t)
	// Kubelet refuses to start when it would stop collecting images above where it begins. Nobody else looks at that.
	s.describe(t, false, fixture.Set("Cluster", "", map[string]any{"imageGCHighThresholdPercent": int64(50), "imageGCLowThresholdPercent": int64(80)},
		"spec", "controlPlane", "overrides", "kubelet"))
	out, code := s.up(t)
	if code != failed {
		t.Fatalf("kubewright up ended with code %d, want %d", code, failed)
	}
	for _, text := range []string{"unit kubelet.service ends again and again", "imageGCLowThresholdPercent"} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	s.describe(t, false, nil)
	s.mustUp(t)
}

// bringBack takes nodes away as people do by mistake, and has them come back.
func bringBack(t *testing.T, s *site) {
	for _, c := range []struct {
		name  string
		hands func()
	}{
		{"the node of a worker is deleted", func() { s.kubectl(t, "delete", "node", "n2") }},
		{"the node of the control plane is deleted", func() { s.kubectl(t, "delete", "node", "n1") }},
		{"kubeadm reset is run by hand on a worker", func() { s.exec(t, "n2", "/usr/local/bin/kubeadm", "reset", "-f") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.hands()
			s.mustUp(t)
			nodes := s.kubectl(t, "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].key}{"\n"}{end}`)
			if want := "n1 True node-role.kubernetes.io/control-plane\nn2 True \n"; nodes != want {
				t.Errorf("the nodes are\n%s, want\n%s", nodes, want)
			}
			if roles := s.kubectl(t, "get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "name"); roles != "node/n1\n" {
				t.Errorf("control planes are %q", roles)
			}
			// A pod that begins there has a network only if the host's fits the node's range.
			s.kubectl(t, "-n", "kube-system", "rollout", "restart", "deployment/coredns")
			s.kubectl(t, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
			if out := s.mustUp(t); strings.Contains(out, " changed ") {
				t.Error("running again changes something")
			}
		})
	}
}

// giveUp takes a worker whose machine is dead out of the cluster, has the machine come back as it was, and then takes it in again cleaned.
func giveUp(t *testing.T, s *site) {
	t.Run("a dead worker is given up by a command, and its machine is no node when it comes back, until it is taken in again", func(t *testing.T) {
		if err := s.fleet.Kill(s.ctx, "n2"); err != nil {
			t.Fatal(err)
		}
		s.mustCall(t, "host", "orphan", "n2")
		s.describe(t, false, nil)
		s.mustCall(t, "up", "-f", s.ClusterFile(), "--bundle", s.Bundle, "--kubeconfig", s.Kubeconfig(), "--yes")
		if hosts := s.mustCall(t, "host", "list"); !strings.Contains(hosts, "quarantined: ") {
			t.Errorf("the host is not said to be quarantined:\n%s", hosts)
		}
		if err := s.fleet.Start(s.ctx, "n2"); err != nil {
			t.Fatal(err)
		}
		// Its kubelet begins with the machine, and registers its node.
		s.exec(t, "n2", "timeout", "100", "bash", "-c", `journalctl -b -u kubelet -n all -f | grep -m 1 -q "its machine was not cleaned"`)
		if nodes := s.kubectl(t, "get", "nodes", "-o", "name"); nodes != "node/n1\n" {
			t.Errorf("the nodes are %q", nodes)
		}
		s.exec(t, "n2", "/usr/local/bin/kubeadm", "reset", "-f")
		s.mustCall(t, "host", "end-quarantine", "n2")
		s.describe(t, true, nil)
		s.mustUp(t)
		if ready := s.kubectl(t, "get", "node", "n2", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
			t.Errorf("n2 is not Ready again: %q", ready)
		}
	})
}

// refuseRenumbering gives a worker and a control plane other addresses than they joined with.
func refuseRenumbering(t *testing.T, s *site) {
	const other = "10.99.0.7"
	for _, host := range []string{"n1", "n2"} {
		t.Run("another address for "+host+" is refused", func(t *testing.T) {
			s.exec(t, host, "ip", "address", "add", other+"/32", "dev", "eth0")
			defer s.exec(t, host, "ip", "address", "del", other+"/32", "dev", "eth0")
			s.describe(t, true, fixture.Set("Host", host, other, "spec", "internalAddress"))
			out, code := s.up(t)
			if code == succeeded {
				t.Fatal("it was done")
			}
			for _, text := range []string{"host " + host + " joined as ", "its Host now says " + other, "take the host out of the Cluster"} {
				if !strings.Contains(out, text) {
					t.Errorf("it does not say %q", text)
				}
			}
		})
	}
	s.describe(t, true, nil)
	s.mustUp(t)
}

// fillEtcd uses up etcd's quota, and goes the documented way back.
func fillEtcd(t *testing.T, s *site) {
	const most = 40
	full := false
	for i := 0; i < most && !full; i++ {
		object := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fill-%d","namespace":"default","labels":{"fills":"etcd"}},"data":{"x":%q}}`,
			i, strings.Repeat("x", 900<<10))
		_, err := s.Kubectl(s.ctx, object, "create", "-f", "-")
		full = err != nil && strings.Contains(err.Error(), "database space exceeded")
		if err != nil && !full {
			t.Fatal(err)
		}
	}
	if !full {
		t.Fatalf("%d objects do not fill etcd", most)
	}
	out, code := s.up(t)
	if code == succeeded {
		t.Error("it was done")
	}
	for _, text := range []string{"etcd is out of space (alarm NOSPACE of member n1)", "disarm the alarm"} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	etcdctl := func(args ...string) string {
		return s.exec(t, "n1", append([]string{"env", "ETCDCTL_ENDPOINTS=https://127.0.0.1:2379", "ETCDCTL_CACERT=/etc/kubernetes/pki/etcd/ca.crt",
			"ETCDCTL_CERT=/etc/kubernetes/pki/etcd/peer.crt", "ETCDCTL_KEY=/etc/kubernetes/pki/etcd/peer.key", "/usr/local/bin/etcdctl"}, args...)...)
	}
	etcdctl("alarm", "disarm")
	s.kubectl(t, "delete", "configmap", "-l", "fills=etcd")
	revision := regexp.MustCompile(`"revision":(\d+)`).FindStringSubmatch(etcdctl("endpoint", "status", "-w", "json"))
	if revision == nil {
		t.Fatal("etcd does not tell its revision")
	}
	etcdctl("compact", revision[1])
	etcdctl("defrag", "--cluster")
	etcdctl("alarm", "disarm")
	s.mustUp(t)
}

// deadWebhook has a webhook nobody answers for agree to pods. That there is one is named before the static pods are touched.
func deadWebhook(t *testing.T, s *site) {
	const hook = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"judge"},"webhooks":[{
"name":"pods.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","failurePolicy":"Fail",
"clientConfig":{"service":{"namespace":"default","name":"nobody"}},
"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]}]}`
	if _, err := s.Kubectl(s.ctx, hook, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	argument := apiServer(map[string]any{"extraArgs": []any{map[string]any{"name": "event-ttl", "value": "2h0m0s"}}})
	began := s.exec(t, "n1", "ps", "-C", "kube-apiserver", "-o", "pid=,lstart=")
	s.describe(t, false, argument)
	out, code := s.up(t)
	if code != failed {
		t.Fatalf("kubewright up ended with code %d, want %d", code, failed)
	}
	for _, text := range []string{"WebhookUnavailable", "webhook pods.example.com of ValidatingWebhookConfiguration judge", "Service default/nobody has no endpoint that is ready"} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if now := s.exec(t, "n1", "ps", "-C", "kube-apiserver", "-o", "pid=,lstart="); now != began {
		t.Errorf("the API server is %q, and was %q", now, began)
	}
	s.kubectl(t, "delete", "validatingwebhookconfiguration", "judge")
	s.mustUp(t)
}
