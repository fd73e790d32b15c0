//go:build e2e

package badinput

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// inventory prints what an installation would change: files with their size, mode, owner and time of change, directories, mounts,
// units that run and what is enabled, kernel parameters, network interfaces and listeners. Left out are the helper's own directories, and what a
// login or the passing of time leaves behind on any machine: sudo's and systemd's records, sessions, timers, addresses' ages.
const inventory = `
find /etc /opt /usr/local /root /home /srv /lib/systemd /var/lib /var/lib/containerd /var/lib/kubelet /var/lib/etcd -xdev \
  \( -path /var/lib/kubewright -o -path /var/lib/kubewright-helper -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/private \) -prune \
  -o -type d -printf 'dir %p %m %U:%G\n' -o -printf 'file %p %y %s %m %U:%G %T@ %l\n' 2>/dev/null | sort -u
awk '$2 !~ "^/run/(user|credentials)" {print "mount", $2, $3}' /proc/mounts | sort
systemctl list-units --state=running --type=service,socket --plain --no-legend --no-pager | awk '$1 !~ "^(user@|user-runtime-dir@|ssh@)" {print "unit", $1}' | sort
ls /etc/systemd/system/*.wants 2>/dev/null
ss -Hltn | awk '{print "listens", $4}' | sort
ls /sys/class/net /run/systemd/transient 2>/dev/null | grep -v -e '^session-' -e '[.]scope$'
for key in net/ipv4/ip_forward net/ipv4/conf/all/forwarding net/ipv6/conf/all/forwarding net/ipv4/conf/all/rp_filter; do echo "sysctl $key $(cat /proc/sys/$key)"; done
`

// view is what each host looks like.
type view map[string][]string

func (w *world) look(t *testing.T) view {
	t.Helper()
	v := view{}
	for _, h := range w.fleet.Hosts() {
		v[h.Name] = strings.Split(w.exec(t, h.Name, "bash", "-c", inventory), "\n")
	}
	return v
}

// requireSame fails when a host looks different from before.
func requireSame(t *testing.T, before, after view) {
	t.Helper()
	for _, difference := range differences(before, after) {
		t.Error(difference)
	}
}

func differences(before, after view) []string {
	var out []string
	for _, host := range slices.Sorted(maps.Keys(before)) {
		for _, line := range before[host] {
			if !slices.Contains(after[host], line) {
				out = append(out, host+" was changed, gone is: "+line)
			}
		}
		for _, line := range after[host] {
			if !slices.Contains(before[host], line) {
				out = append(out, host+" was changed, new is: "+line)
			}
		}
	}
	return out
}

// testChangesAreSeen keeps the comparison honest: what an installation begins with must show in it.
func (w *world) testChangesAreSeen(t *testing.T) {
	before := w.look(t)
	w.put(t, "n2", "/usr/local/bin/kubelet", "x")
	w.put(t, "n2", "/var/lib/kubelet/config.yaml", "x")
	w.listen(t, "n2", 10250)
	found := strings.Join(differences(before, w.look(t)), "\n")
	for _, text := range []string{"file /usr/local/bin/kubelet", "file /var/lib/kubelet/config.yaml", "unit squatter-10250.service", "listens *:10250"} {
		if !strings.Contains(found, "n2 was changed, new is: "+text) {
			t.Errorf("%q is not seen in\n%s", text, found)
		}
	}
	if strings.Contains(found, "n1 was") {
		t.Errorf("n1 was not touched, but is said to have changed:\n%s", found)
	}
}
