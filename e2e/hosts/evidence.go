package hosts

import (
	"context"
	"fmt"
	"strings"
)

// evidenceScript says what runs on a host and what its services, and containers that wrote of late, said last.
const evidenceScript = `
date --utc
ls -l --time-style=full-iso /etc/kubernetes/manifests /var/lib/etcd/member 2>&1
for unit in kubelet containerd; do echo "-- $unit: $(systemctl is-active $unit)"; journalctl --unit $unit --no-pager --output short-iso --lines 25; done
find /var/log/pods -name '*.log' -mmin -20 2>/dev/null | sort | while read -r log; do echo "-- $log"; tail -n 8 "$log"; done`

// Evidence is what every host has to say about its cluster, for the log of a test that failed. A host that does not answer says why.
func (f *Fleet) Evidence(ctx context.Context) string {
	var b strings.Builder
	for _, h := range f.Hosts() {
		out, err := f.Exec(ctx, h.Name, "bash", "-c", evidenceScript)
		fmt.Fprintf(&b, "==== %s\n%s", h.Name, out)
		if err != nil {
			fmt.Fprintf(&b, "not all was learnt: %v\n", err)
		}
	}
	return b.String()
}
