package provision

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func TestAPasswordGoesOnlyToAHostWhoseKeyIsKnown(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(h *HostAccess, key string)
		refused bool
	}{
		{"one that is seen for the first time is told none", func(*HostAccess, string) {}, true},
		{"one whose key is listed is told it", func(h *HostAccess, key string) { h.Host.Spec.HostKeys.Keys = []string{key} }, false},
		{"one whose key was recorded is told it", func(h *HostAccess, key string) { h.Host.Status.HostKey = key }, false},
		{"one of which the Host says so is told it", func(h *HostAccess, _ string) { h.Host.Spec.HostKeys.PasswordOnFirstUse = true }, false},
		{"nor is a password for sudo told after a login with a key", func(h *HostAccess, _ string) {
			h.Host.Spec.User = "ops"
			h.Credentials = map[string][]byte{v1alpha1.SSHPrivateKeyKey: []byte("key"), v1alpha1.SudoPasswordKey: []byte("secret")}
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			s := sessionsWith(t, map[string]*machine{"n1": m})
			recorded := 0
			s.record = func(context.Context, string, string) error { recorded++; return nil }
			a := s.access["n1"]
			a.Host.Spec.HostKeys = v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse}
			tc.change(&a, m.HostKeyLines()[0])
			s.access["n1"] = a
			// Twice, since a key that had been recorded would be a known one the second time.
			for range 2 {
				_, err := s.helper(t.Context(), "n1")
				if !tc.refused {
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				if string(a.Credentials[v1alpha1.SSHPrivateKeyKey]) == "key" {
					// The key is none, which is found before any connection; what is judged is the policy.
					target, terr := target(s.access, "n1", s.record)
					if terr != nil {
						t.Fatal(terr)
					}
					err = target.HostKeys.Record(t.Context(), m.HostKeyLines()[0])
					if refused := new(ssh.KeyRefusedError); !errors.As(err, &refused) {
						t.Errorf("got %v", err)
					}
					continue
				}
				var unknown *ssh.UnknownHostKeyError
				if !errors.As(err, &unknown) {
					t.Fatalf("got %v, want that the key is unknown", err)
				}
				for _, text := range []string{"n1", "a password would be sent", "spec.hostKeys.keys", "spec.hostKeys.passwordOnFirstUse", m.fingerprint()} {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%q does not say %q", err, text)
					}
				}
			}
			if tc.refused && (len(m.Attempts()) > 0 || recorded > 0) {
				t.Errorf("it was offered %d credentials, and its key was recorded %d times", len(m.Attempts()), recorded)
			}
		})
	}
}

// fingerprint is that of the machine's key.
func (m *machine) fingerprint() string { return ssh.Fingerprint(m.HostKeyLines()[0]) }
