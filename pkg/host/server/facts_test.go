package server_test

import (
	"os"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

func TestFactsSayWhatAHostResolvesNamesWith(t *testing.T) {
	for name, test := range map[string]struct {
		arrange       func(*testing.T, *hosttest.Host)
		missing       bool
		names, behind []string
	}{
		"no resolv.conf": {func(*testing.T, *hosttest.Host) {}, true, nil, nil},
		"an empty one":   {func(t *testing.T, h *hosttest.Host) { h.Write(t, "/etc/resolv.conf", "") }, false, nil, nil},
		"a link that leads nowhere": {func(t *testing.T, h *hosttest.Host) {
			if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", h.Path("/etc/resolv.conf")); err != nil {
				t.Fatal(err)
			}
		}, true, nil, nil},
		"two name servers": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.53\nnameserver fd00::53\n")
		}, false, []string{"192.0.2.53", "fd00::53"}, nil},
		"systemd-resolved": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "nameserver 127.0.0.53\n")
			h.Write(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
			h.Write(t, "/proc/77/comm", "systemd-resolve\n")
		}, false, []string{"127.0.0.53"}, []string{"192.0.2.53"}},
		"what systemd-resolved left when it ended": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "nameserver 127.0.0.53\n")
			h.Write(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
		}, false, []string{"127.0.0.53"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			test.arrange(t, h)
			f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.ResolvConfMissing != test.missing || !slices.Equal(f.Nameservers, test.names) || f.Resolved != (test.behind != nil) || !slices.Equal(f.ResolvedNameservers, test.behind) {
				t.Errorf("missing %v, names %v, systemd-resolved %v with %v", f.ResolvConfMissing, f.Nameservers, f.Resolved, f.ResolvedNameservers)
			}
		})
	}
}
