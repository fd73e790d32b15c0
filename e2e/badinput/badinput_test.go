//go:build e2e

package badinput

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
)

// Exit codes the program documents.
const (
	failed   = 1
	badInput = 2
)

// oneCase is one bad input and what a user is told.
type oneCase struct {
	name string
	// arrange changes the hosts, the options or the bundle; it undoes by itself what it does to hosts. It returns more texts to expect.
	arrange func(t *testing.T, w *world, a *attempt, o *fixture.Options) []string
	// edit changes the user's file.
	edit fixture.Edit
	code int
	// says are texts of the error: field or host, what is wrong, what to do.
	says []string
	// hides are texts that must not appear: secrets, and consequences that would bury the cause.
	hides []string
}

func TestBadInput(t *testing.T) {
	w := newWorld(t)
	address := map[string]string{}
	for _, h := range w.fleet.Hosts() {
		address[h.Name] = h.Address.String()
	}
	nobody := w.fleet.Subnet.Masked().Addr().As4()
	nobody[3] = 240
	nowhere := netip.AddrFrom4(nobody).String()

	cases := []oneCase{
		// Refused while the input is read: seconds, and no control plane is started.
		{
			name: "a Kubernetes version that the bundle does not hold is named with those it does",
			edit: fixture.Set("Cluster", "", "v1.36.99", "spec", "version"),
			code: badInput, says: []string{"Cluster badinput", "spec.version", "does not contain Kubernetes v1.36.99", "it contains v", version, "another bundle"},
		},
		{
			name: "a version that is none is refused with an example",
			edit: fixture.Set("Cluster", "", "1.36", "spec", "version"),
			code: badInput, says: []string{"spec.version", "1.36", version},
		},
		{
			name: "a truncated bundle is named with what is missing",
			arrange: func(t *testing.T, w *world, a *attempt, _ *fixture.Options) []string {
				a.Bundle = w.copyBundle(t, 8<<20)
				return []string{a.Bundle}
			},
			code: badInput, says: []string{"--bundle", "is truncated in", "copy it again"},
		},
		{
			name: "two Hosts with one address are both named",
			edit: fixture.Set("Host", "n2", address["n1"], "spec", "address"),
			code: badInput, says: []string{"Host n2", "spec.address", address["n1"], "Host n1"},
		},
		{
			name: "a Cluster without a version is told which field is missing",
			edit: fixture.Without("Cluster", "spec", "version"),
			code: badInput, says: []string{"Cluster badinput: spec.version: is missing"},
		},
		{
			name: "a Cluster that names a Host the file does not hold is told where",
			edit: fixture.Set("Cluster", "", []any{"n9"}, "spec", "controlPlane", "hosts"),
			code: badInput, says: []string{"spec.controlPlane.hosts[0]", "there is no Host n9", "add the Host to the file"},
		},

		// Refused by the API's own rules.
		{
			name: "a Cluster without control planes is told which field is missing",
			edit: fixture.Without("Cluster", "spec", "controlPlane", "hosts"),
			code: badInput, says: []string{"Cluster badinput", "spec.controlPlane.hosts"},
		},
		{
			name: "a Cluster without a bundle reference is told which field is missing",
			edit: fixture.Without("Cluster", "spec", "offlineManifestRef"),
			code: badInput, says: []string{"spec.offlineManifestRef"},
		},
		{
			name: "an address that a shell would run is refused as an address",
			edit: fixture.Set("Host", "n2", "$(touch /etc/owned)", "spec", "address"),
			code: badInput, says: []string{"Host n2", "spec.address", "neither an IP address nor a DNS name"},
		},
		{
			name: "a Host's name that a shell would run is refused as a name",
			edit: fixture.All(fixture.Set("Host", "n2", "n2$(reboot)", "metadata", "name"), func(kind string, object map[string]any) {
				if kind == "Cluster" {
					pool := object["spec"].(map[string]any)["workers"].([]any)[0].(map[string]any)
					pool["hosts"] = []any{"n2$(reboot)"}
				}
			}),
			code: badInput, says: []string{"Host n2$(reboot)", "metadata.name"},
		},
		{
			name: "a login name that a shell would run is refused as a login name",
			edit: fixture.Set("Host", "n2", "root;id", "spec", "user"),
			code: badInput, says: []string{"Host n2", "spec.user", "user is not a login name"},
		},

		// Found by the controllers before any host is reached.
		{
			name: "one flipped bit in the bundle is found before any host is touched",
			arrange: func(t *testing.T, w *world, a *attempt, _ *fixture.Options) []string {
				a.Bundle = w.copyBundle(t, 0)
				entry, file := w.flip(t, a.Bundle)
				return []string{a.Bundle, entry, file}
			},
			code: failed, says: []string{"OfflineManifest bundle", "Corrupt", "content has digest", "damaged or altered, fetch it again"},
			hides: []string{"host/connect"},
		},
		{
			name: "a bundle for another platform than this machine's says so",
			arrange: func(t *testing.T, w *world, a *attempt, _ *fixture.Options) []string {
				a.Bundle = w.foreignBundle(t, false)
				return nil
			},
			code: failed, says: []string{"linux/riscv64", "linux/amd64"}, hides: []string{"host/connect"},
		},

		// Found on the way to a host.
		{
			name: "a release for another platform than the hosts' names hosts and platforms, and nothing is placed",
			arrange: func(t *testing.T, w *world, a *attempt, _ *fixture.Options) []string {
				a.Bundle = w.foreignBundle(t, true)
				for _, h := range []string{"n1", "n2"} {
					w.exec(t, h, "rm", "-rf", "/var/lib/kubewright-helper")
				}
				t.Cleanup(func() {
					for _, h := range []string{"n1", "n2"} {
						if found := w.exec(t, h, "find", "/var/lib", "-maxdepth", "1", "-name", "kubewright-helper"); found != "" {
							t.Errorf("a helper that cannot run was placed on %s", h)
						}
					}
				})
				return nil
			},
			code: failed, says: []string{"n1: host/connect: PlatformNotInBundle", "n2: host/connect: PlatformNotInBundle", "host n1 is linux/amd64", "for linux/riscv64 only", "bundle with that platform"},
		},
		{
			name: "a bundle that lacks what hosts need names all of it for every host, and nothing of it is placed",
			arrange: func(t *testing.T, w *world, a *attempt, _ *fixture.Options) []string {
				a.Bundle = w.poorBundle(t)
				return nil
			},
			code: failed, says: []string{
				"host n1 is linux/amd64; the bundle poor holds no file bridge", "no file etcdctl", "no file kubeadm", "no file kubelet", "no file runc", "no image of kube-proxy",
				"host n2 is linux/amd64; the bundle poor holds no file", "choose a bundle that has all of it",
			},
		},
		{
			name: "a host that does not answer is named with its address",
			edit: fixture.Set("Host", "n2", nowhere, "spec", "address"),
			code: failed, says: []string{"n2: host/connect: Unreachable", nowhere + ":22", "spec.address", "is on"}, hides: []string{"n1: host"},
		},
		{
			name: "a port on which nothing listens is named",
			edit: fixture.Set("Host", "n2", int64(2222), "spec", "port"),
			code: failed, says: []string{"n2: host/connect: Unreachable", address["n2"] + ":2222", "connection refused", "spec.port"}, hides: []string{"n1: host"},
		},
		{
			name: "a key that hosts do not accept is told with user and methods",
			edit: func(kind string, object map[string]any) {
				if kind == "Secret" {
					object["stringData"] = map[string]any{"ssh-privatekey": newClientKey(t)}
				}
			},
			code: failed, says: []string{"n1: host/connect: AuthenticationFailed", "n2: host/connect: AuthenticationFailed", "login as ops was refused", "publickey", "check user and credentials"},
			hides: []string{"PRIVATE KEY"},
		},
		{
			name:    "a wrong sudo password is told from a wrong login",
			arrange: asPasswordUser,
			edit: func(kind string, object map[string]any) {
				if kind == "Secret" {
					object["stringData"].(map[string]any)["sudo-password"] = "not$it"
				}
			},
			code: failed, says: []string{"n1: host/connect: SudoFailed", "n2: host/connect: SudoFailed", "sudo refused the password of pw", "correct it in the credentials"},
			hides: []string{"not$it", hosts.HardPassword},
		},
		{
			name: "a host with another key than the listed one gets no credential",
			edit: func(kind string, object map[string]any) {
				if kind == "Host" && fixture.NameOf(object) == "n2" {
					object["spec"].(map[string]any)["hostKeys"] = map[string]any{"policy": "Strict", "keys": []any{newHostKey(t)}}
				}
			},
			code: failed, says: []string{"n2: host/connect: HostKeyChanged", "the host key changed", "no credential was sent", "SHA256:"}, hides: []string{"n1: host"},
		},

		// Found by looking at a host.
		{
			name: "a host whose ledger names another cluster is refused, and nothing else is said of it",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.put(t, "n2", "/var/lib/kubewright/ledger.json", `{"version":1,"owner":{"clusterName":"other","clusterUID":"0b1f"},"entries":[]}`)
				return nil
			},
			code: failed, says: []string{"n2: host/preflight: HostOwnedByOtherCluster", `cluster "other"`, "0b1f", "reset it there"}, hides: []string{"n1: host"},
		},
		{
			name: "a host with the authority of another cluster is refused, and its traces are not listed beside",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.put(t, "n1", "/etc/kubernetes/pki/ca.crt", newAuthority(t), "/etc/kubernetes")
				return nil
			},
			code: failed, says: []string{"n1: host/preflight: HostInOtherCluster", "/etc/kubernetes/pki/ca.crt", "remove that cluster from the host"}, hides: []string{"n2: host", "Leftovers"},
		},
		{
			name: "a leftover kubelet and CNI configuration are listed by path",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.put(t, "n2", "/etc/cni/net.d/10-other.conflist", "{}", "/etc/cni")
				w.put(t, "n2", "/etc/kubernetes/kubelet.conf", "{}", "/etc/kubernetes")
				w.put(t, "n2", "/var/lib/kubelet/config.yaml", "{}")
				return nil
			},
			code: failed, says: []string{"n2: host/preflight: Leftovers", "/etc/cni/net.d/10-other.conflist", "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet", "remove it"}, hides: []string{"n1: host"},
		},
		{
			name: "the API server's port in use is named with the program that uses it",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.listen(t, "n1", 6443)
				return nil
			},
			code: failed, says: []string{"n1: host/preflight: Port-6443", "TCP port 6443, which kube-apiserver needs, is in use by systemd-socket", "stop it"}, hides: []string{"n2: host"},
		},
		{
			name: "kubelet's port in use is named",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.listen(t, "n2", 10250)
				return nil
			},
			code: failed, says: []string{"n2: host/preflight: Port-10250", "TCP port 10250, which kubelet needs, is in use by systemd-socket", "stop it"}, hides: []string{"n1: host"},
		},
		{
			name: "a disk that is too small is named with what it has and what is needed",
			arrange: func(t *testing.T, w *world, _ *attempt, o *fixture.Options) []string {
				if _, err := w.fleet.Add(t.Context(), hosts.HostSpec{Name: "n3", Tmpfs: map[string]string{"/var/lib/containerd": "64m"}}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := w.fleet.Remove(cleanup(t), "n3"); err != nil {
						t.Error(err)
					}
				})
				o.Workers = []string{"n3"}
				return nil
			},
			code: failed, says: []string{"n3: host/preflight: Disk", "/var/lib/containerd has 64 MiB free", "are needed", "free some space"}, hides: []string{"n1: host"},
		},
		{
			name: "cgroup v1 without the override names the field that allows it",
			arrange: func(t *testing.T, _ *world, _ *attempt, _ *fixture.Options) []string {
				if !fixture.CgroupV1() {
					t.Skip("the machine under the hosts runs cgroup v2, so no host can have version 1")
				}
				return nil
			},
			edit: fixture.Without("Cluster", "spec", "overrides", "kubelet", "failCgroupV1"),
			code: failed, says: []string{"n1: host/preflight: CgroupV1", "n2: host/preflight: CgroupV1", "failCgroupV1: false in overrides.kubelet"},
		},
		{
			name: "three faults on two hosts are reported in one run",
			arrange: func(t *testing.T, w *world, _ *attempt, _ *fixture.Options) []string {
				w.listen(t, "n1", 6443)
				w.put(t, "n1", "/etc/cni/net.d/10-other.conflist", "{}", "/etc/cni")
				return nil
			},
			edit: func(kind string, object map[string]any) {
				if kind == "Host" && fixture.NameOf(object) == "n2" {
					object["spec"].(map[string]any)["hostKeys"] = map[string]any{"policy": "Strict", "keys": []any{newHostKey(t)}}
				}
			},
			code: failed, says: []string{"n1: host/preflight", "TCP port 6443, which kube-apiserver needs, is in use", "/etc/cni/net.d/10-other.conflist", "n2: host/connect: HostKeyChanged"},
		},
	}
	t.Run("a change of a host would be seen", w.testChangesAreSeen)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, w) })
	}
	t.Run("a password of quotes, dollars, backslashes and blanks works for login and sudo", w.testHardPassword)
	t.Run("a key recorded on first use that changes stops everything before a password is sent", w.testRecordedKeyChanges)
	t.Run("a host of another Cluster of the API is refused with that Cluster's name", w.testClaimedHost)
}

func (c oneCase) run(t *testing.T, w *world) {
	a, o := w.attempt(t, "badinput"), w.options()
	says := c.says
	if c.arrange != nil {
		says = append(c.arrange(t, w, a, &o), says...)
	}
	if c.edit != nil {
		o.Edit = c.edit
	}
	if err := a.Describe(w.fleet, o); err != nil {
		t.Fatal(err)
	}
	output := a.refused(t, c.code, says...)
	for _, text := range c.hides {
		if strings.Contains(afterError(output), text) {
			t.Errorf("the error says %q, which it should not", text)
		}
	}
	if a.Bundle == w.bundle {
		if err := a.keep(); err != nil {
			t.Fatal(err)
		}
	}
}
