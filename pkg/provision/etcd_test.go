package provision

import (
	"testing"

	"github.com/kubewright/kubewright/pkg/desired"
)

func TestAMemberOfEtcdIsThatOfAHost(t *testing.T) {
	k := &kube{
		cluster: &desired.Cluster{Hosts: []desired.Host{{Name: "cp1", Address: "192.0.2.1"}, {Name: "cp2", Address: "192.0.2.2"}, {Name: "cp6", Address: "2001:db8::6"}}},
		leaving: []leavingHost{{Name: "old", Address: "192.0.2.9"}, {Name: "renamed", Address: "192.0.2.2"}},
	}
	for _, c := range []struct {
		name, member, peer, want string
	}{
		{"of the one whose name it bears", "cp1", "https://192.0.2.1:2380", "cp1"},
		{"also when that one has another address by now", "cp1", "https://192.0.2.77:2380", "cp1"},
		{"of the one at its address when it never started", "", "https://192.0.2.2:2380", "cp2"},
		{"of the one at its address in IPv6", "", "https://[2001:db8::6]:2380", "cp6"},
		{"of the one that leaves", "", "https://192.0.2.9:2380", "old"},
		{"of the one that has the machine now when its name went with the Host", "renamed", "https://192.0.2.2:2380", "cp2"},
		{"of nobody known", "stranger", "https://192.0.2.50:2380", "stranger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := k.hostOf(c.member, []string{c.peer}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
