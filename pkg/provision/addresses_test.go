package provision

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func TestAHostAtAnAddressThatIsNotAllowedIsNotConnectedTo(t *testing.T) {
	for _, tc := range []struct {
		name    string
		policy  addresses.Policy
		address string
		// bastion is the address of a bastion in front, if there is one.
		bastion string
		refused string
	}{
		{"a person's own machine is a host for that person", addresses.Local(), "127.0.0.1", "", ""},
		{"this machine is none for a manager", addresses.Policy{}, "127.0.0.1", "", "host n1 (127.0.0.1:PORT): address: 127.0.0.1 is this very machine"},
		{"nor by a name", addresses.Policy{}, "localhost", "", "is this very machine"},
		{"nor as a bastion", addresses.Policy{}, "192.0.2.1", "127.0.0.1", "host jump (127.0.0.1:PORT): address: 127.0.0.1 is this very machine"},
		{"the metadata of a cloud is none behind a bastion either", addresses.Local(), "169.254.169.254", "127.0.0.1", "169.254.169.254 is an address of the link"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			s := sessionsWith(t, map[string]*machine{"n1": m, "jump": m})
			s.judge = tc.policy.Judge
			a := s.access["n1"]
			a.Host.Spec.Address = tc.address
			if tc.bastion != "" {
				a.Host.Spec.BastionRef = &v1alpha1.LocalReference{Name: "jump"}
			}
			s.access["n1"] = a
			_, err := s.helper(t.Context(), "n1")
			if tc.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := strings.ReplaceAll(tc.refused, ":PORT", m.Addr()[strings.LastIndex(m.Addr(), ":"):])
			var bad *ssh.TargetError
			if !errors.As(err, &bad) || bad.Field != "address" || !strings.Contains(err.Error(), want) || ssh.IsRetryable(err) {
				t.Errorf("got %v, want %q", err, want)
			}
			if tc.bastion == "" && m.Accepted() > 0 {
				t.Error("it was connected to")
			}
		})
	}
}
