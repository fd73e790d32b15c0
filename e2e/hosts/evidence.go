package hosts

import (
	"context"
	"fmt"
	"strings"
)

// evidenceScript says what should run on a host, what its services complained of last, and what containers that wrote of late said last.
const evidenceScript = `
ls -l --time-style=full-iso /etc/kubernetes/manifests /var/lib/etcd/member 2>&1 | grep -v ^total
for unit in kubelet containerd; do
	echo "-- $unit: $(systemctl is-active $unit)"
	journalctl --unit $unit --no-pager --output cat --lines 300 | grep -E '^[EF][0-9]{4} |level=(error|fatal)' | tail -n 6 | cut -c -400
done
find /var/log/pods -name '*.log' -mmin -20 2>/dev/null | sort | while read -r log; do echo "-- $log"; tail -n 2 "$log" | cut -c -400; done`

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
