//go:build e2e

package manager

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/listing"
)

// byHand is what somebody changes on the hosts of the site: on the control plane a static pod and a program, on the worker kubelet's configuration
// and a kernel parameter. The manifest is written in place, so that kubelet never sees two of one pod.
var byHand = map[string]string{
	site[0]: `set -e
file=/etc/kubernetes/manifests/kube-apiserver.yaml
sed 's|^  annotations:|&\n    example.com/by-hand: "yes"|' $file > /tmp/manifest
cat /tmp/manifest > $file; rm /tmp/manifest
cp /bin/true /usr/local/bin/kubectl.new; mv /usr/local/bin/kubectl.new /usr/local/bin/kubectl`,
	site[1]: `set -e
echo '# by hand' >> /var/lib/kubelet/config.yaml
echo 0 > /proc/sys/net/ipv4/ip_forward`,
}

// shown are the words by which each of these differences must be told of its host.
var shown = map[string][]string{
	site[0]: {"kube-apiserver.yaml", "/usr/local/bin/kubectl"},
	site[1]: {"/var/lib/kubelet/config.yaml", "net.ipv4.ip_forward"},
}

// placed prints what Kubewright and kubeadm have put on a host, by content: programs, units, configuration, authorities, kernel parameters. Left
// out is what kubeadm makes anew with static pods: certificates below authorities and what holds them, its own copies of what it replaces, and the
// flags for joining in etcd's manifest.
const placed = `
find /etc/kubernetes /etc/containerd /etc/systemd/system /etc/sysctl.d /etc/modules-load.d /usr/local/bin /opt -xdev -type f \
  -not -path '/etc/kubernetes/tmp/*' -not -path '/etc/kubernetes/pki/*' -not -path '/etc/kubernetes/*admin.conf' -not -path /etc/kubernetes/manifests/etcd.yaml \
  -exec sha256sum {} + | sort
find /etc/kubernetes/pki \( -name '*ca.crt' -o -name '*ca.key' -o -name 'sa.*' \) -exec sha256sum {} + | sort
sha256sum /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env
for key in net/ipv4/ip_forward net/ipv4/conf/all/forwarding; do echo "sysctl $key $(cat /proc/sys/$key)"; done
`

// inSync is the reason of the condition that tells of differences.
const inSync = `jsonpath={.status.conditions[?(@.type=="InSync")].reason}=`

// requireDriftCorrected has the site compared often, changes its hosts by hand, and wants that everything is told and, with the other policy, that
// exactly that is put back.
func (w *world) requireDriftCorrected(t *testing.T) {
	t.Helper()
	w.watchDrift(t, "Detect")
	before := w.placed(t)
	w.changeByHand(t, byHand)
	check := w.awaitComparison(t)
	w.await(t, "5m", "kwc/site", inSync+"Drifted")
	message := w.kubectl(t, "get", "kwc", "site", "-o", `jsonpath={.status.conditions[?(@.type=="InSync")].message}`)
	plan := w.kubectl(t, "get", check, "-o", `jsonpath={range .status.plan[*]}{.host} {.step} {.why}{"\n\n"}{end}`)
	t.Log(message + "\n" + plan)
	for host, things := range shown {
		if !strings.Contains(message, host+": ") {
			t.Errorf("the condition does not name %s: %s", host, message)
		}
		for _, thing := range things {
			if !tells(plan, host, thing) {
				t.Errorf("the comparison does not tell of %s on %s", thing, host)
			}
		}
	}
	t.Run("nothing is put back by a policy that only looks", func(t *testing.T) {
		if len(listing.Differences(before, w.placed(t))) == 0 {
			t.Error("it was")
		}
	})
	// The changed spec asks for an operation by itself, which finds the differences too. What the policy does is seen after a second change.
	w.watchDrift(t, "Correct")
	w.requirePlaced(t, before)
	w.changeByHand(t, map[string]string{site[1]: byHand[site[1]]})
	w.ask(t, "delete", "node", site[1])
	w.await(t, "5m", "kwc/site", inSync+"Drifted")
	w.await(t, "10m", "kwc/site", "condition=InSync")
	corrections := w.kubectl(t, "get", "kwop", "-o", `jsonpath={range .items[*]}{.spec.type} {.metadata.annotations.kubewright\.io/corrects} {.status.phase}{"\n"}{end}`)
	if !regexp.MustCompile(`(?m)^Configure site-check-\d+ Succeeded$`).MatchString(corrections) {
		t.Errorf("no operation corrected what a comparison had found:\n%s", corrections)
	}
	w.requirePlaced(t, before)
	t.Run("a node that somebody deleted is there again", func(t *testing.T) {
		if node := w.ask(t, "get", "node", site[1], "--no-headers"); !strings.Contains(node, " Ready ") || !strings.Contains(node, version) {
			t.Errorf("%s", node)
		}
	})
	w.watchDrift(t, "Ignore")
}

// awaitComparison waits for a comparison that began after now, and names it. It is not the very next one: that meets an API server which has just
// begun anew with its manifest.
func (w *world) awaitComparison(t *testing.T) string {
	t.Helper()
	last := 0
	for _, name := range strings.Fields(w.kubectl(t, "get", "kwop", "-o", "jsonpath={.items[*].metadata.name}")) {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, "site-check-")); err == nil {
			last = max(last, n)
		}
	}
	check := fmt.Sprintf("kwop/site-check-%d", last+2)
	w.await(t, "5m", check, "create")
	w.await(t, "5m", check, "jsonpath={.status.phase}=Succeeded")
	return check
}

// watchDrift sets the policy and waits until the spec with it was brought about.
func (w *world) watchDrift(t *testing.T, mode string) {
	t.Helper()
	w.kubectl(t, "patch", "kwc", "site", "--type=merge", "-p", `{"spec":{"drift":{"mode":"`+mode+`","interval":"1m"}}}`)
	generation := w.kubectl(t, "get", "kwc", "site", "-o", "jsonpath={.metadata.generation}")
	w.await(t, "10m", "kwc/site", "jsonpath={.status.installedGeneration}="+generation)
	w.await(t, "10m", "kwc/site", "condition=Ready")
}

func (w *world) changeByHand(t *testing.T, scripts map[string]string) {
	t.Helper()
	for host, script := range scripts {
		if _, err := w.fleet.Exec(t.Context(), host, "sh", "-c", script); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) placed(t *testing.T) listing.View {
	t.Helper()
	v, err := listing.Take(t.Context(), w.fleet, placed, site...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) requirePlaced(t *testing.T, before listing.View) {
	t.Helper()
	for _, d := range listing.Differences(before, w.placed(t)) {
		t.Error(d)
	}
}

// tells says whether one of the changes in a plan is about a thing on a host.
func tells(plan, host, thing string) bool {
	for _, change := range strings.Split(plan, "\n\n") {
		if strings.HasPrefix(change, host+" ") && strings.Contains(change, thing) {
			return true
		}
	}
	return false
}
