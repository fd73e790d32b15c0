package hosts

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestTheSeedHoldsEachSecretOnceAndForRootOnly(t *testing.T) {
	s := seed{
		gateway:   netip.MustParseAddr("10.213.7.1"),
		clientKey: "ssh-ed25519 AAAA",
		users:     append(DefaultUsers(), User{Name: "bare"}),
		hostKeys:  map[string]keyPair{"ed25519": {Private: []byte("private"), Public: "public"}},
	}
	buffer, err := s.tar()
	if err != nil {
		t.Fatal(err)
	}
	files := listTar(t, buffer)
	for _, want := range []string{
		"etc/ssh/ssh_host_ed25519_key -rw------- private",
		"etc/ssh/authorized_keys/root -rw-r--r-- ssh-ed25519 AAAA",
		"etc/ssh/authorized_keys/ops -rw-r--r-- ssh-ed25519 AAAA",
		"etc/sudoers.d/ops -r--r----- ops ALL=(ALL:ALL) NOPASSWD: ALL",
		"etc/sudoers.d/pw -r--r----- pw ALL=(ALL:ALL) ALL",
		"etc/e2e-host/resolv.conf -rw-r--r-- nameserver 10.213.7.1",
		"etc/e2e-host/passwords -rw------- pw:" + HardPassword,
		"etc/e2e-host/users -rw------- ops\npw\nbare",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("missing %q in\n%s", want, strings.Join(files, "\n"))
		}
	}
	for _, line := range files {
		name, _, _ := strings.Cut(line, " ")
		if name == "etc/ssh/authorized_keys/pw" || name == "etc/sudoers.d/bare" {
			t.Errorf("%s gives a user what was not asked for", name)
		}
	}
}
