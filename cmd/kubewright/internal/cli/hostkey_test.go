package cli

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
	"github.com/kubewright/kubewright/pkg/ssh"
)

const (
	oneKey     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXryM8wYsg3nj/gDjbmYBrjad8xwH3fcFfxBSDMzN3F"
	anotherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPMeaOYH6FYOfUZOJiXUEf0re8gfwGRKL94OrAxmTpM7"
)

func TestWhoseUnrecordedKeyAPlanBelieves(t *testing.T) {
	with := func(key string) map[string][]byte { return map[string][]byte{key: []byte("x")} }
	for _, c := range []struct {
		name        string
		user        string
		credentials map[string][]byte
		shows       []string
		// want is a pointer to the type of the last answer, nil when the key is believed.
		want any
		warn bool
	}{
		{"a host that would be told the login password is not believed", "root", with(v1alpha1.SSHPasswordKey), []string{oneKey}, new(*ssh.KeyRefusedError), false},
		{"neither is one that would be told a password for sudo", "ops", map[string][]byte{v1alpha1.SSHPrivateKeyKey: []byte("x"), v1alpha1.SudoPasswordKey: []byte("x")},
			[]string{oneKey}, new(*ssh.KeyRefusedError), false},
		{"one that is only shown a private key's proof is, with a warning", "root", with(v1alpha1.SSHPrivateKeyKey), []string{oneKey}, nil, true},
		{"the same key again is no news", "root", with(v1alpha1.SSHPrivateKeyKey), []string{oneKey, oneKey}, nil, true},
		{"another key in the same run has changed", "root", with(v1alpha1.SSHPrivateKeyKey), []string{oneKey, anotherKey}, new(*ssh.OtherKeyError), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: v1alpha1.HostSpec{User: c.user}}
			told := &warnings{}
			keys := newUnrecordedKeys([]provision.HostAccess{{Host: host, Credentials: c.credentials}}, told.add)
			var err error
			for _, key := range c.shows {
				err = keys.record(t.Context(), "n1", key)
			}
			if c.want == nil && err != nil || c.want != nil && !errors.As(err, c.want) {
				t.Errorf("got %v", err)
			}
			var out strings.Builder
			if err := told.write(&out); err != nil {
				t.Fatal(err)
			}
			if warned := strings.Count(out.String(), ssh.Fingerprint(oneKey)); warned > 1 || (warned == 1) != c.warn {
				t.Errorf("warned with %q", out.String())
			}
		})
	}
}

func TestWhatAStepNotesIsAWarningBesideAPlan(t *testing.T) {
	told := &warnings{}
	for _, e := range []engine.Event{
		{Step: "host/preflight", Host: "n2", State: engine.StateDone, Message: "ignored: Swap"},
		{Step: "host/preflight", Host: "n1", State: engine.StateDone, Message: "ignored: Clock\x1b[2J"},
		{Step: "host/connect", Host: "n1", State: engine.StateRetrying, Message: "no answer"},
		{Step: "host/connect", Host: "n1", State: engine.StateDone},
	} {
		told.Emit(e)
	}
	var out strings.Builder
	if err := told.write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "Warning: host n1: host/preflight: ignored: Clock\nWarning: host n2: host/preflight: ignored: Swap\n"; out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
}
