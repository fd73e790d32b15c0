package resource

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatKubeadmsOwnChecksRefuse(t *testing.T) {
	const hint = "[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`"
	after := []string{hint, "error: error execution phase preflight: preflight checks failed", "To see the stack trace of this error execute with --v=5 or higher"}
	for name, test := range map[string]struct {
		output []string
		want   []string
		final  bool
	}{
		"a host that stays as it is": {[]string{"[preflight] Running pre-flight checks", "\t[WARNING Hostname]: no such host", checksFailed, "\t[ERROR FileContent--proc-sys-net-ipv4-ip_forward]: contents are not set to 1"},
			[]string{"[ERROR FileContent--proc-sys-net-ipv4-ip_forward]: contents are not set to 1"}, true},
		"as earlier releases of kubeadm say it": {[]string{"error execution phase preflight: " + checksFailed, "\t[ERROR IsPrivilegedUser]: user is not running as root"},
			[]string{"[ERROR IsPrivilegedUser]: user is not running as root"}, true},
		"a runtime that is on its way up": {[]string{checksFailed, "\t[ERROR CRI]: could not connect to the container runtime:", "rpc error: code = Unavailable"},
			[]string{"[ERROR CRI]: could not connect to the container runtime: rpc error: code = Unavailable"}, false},
		"one that passes and one that does not": {[]string{checksFailed, "\t[ERROR CRI]: not running", "\t[ERROR KubeletVersion]: too new"},
			[]string{"[ERROR CRI]: not running", "[ERROR KubeletVersion]: too new"}, true},
		"something else": {[]string{"[ERROR CRI]: not running", "error: timed out"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			errs, final := refusals(append(test.output, after...))
			if !slices.Equal(errs, test.want) || final != test.final {
				t.Errorf("got %q, %t\nwant %q, %t", strings.Join(errs, "\n"), final, strings.Join(test.want, "\n"), test.final)
			}
		})
	}
}
