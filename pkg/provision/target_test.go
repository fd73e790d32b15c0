package provision

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func access(hosts ...HostAccess) map[string]HostAccess {
	m := map[string]HostAccess{}
	for _, h := range hosts {
		m[h.Host.Name] = h
	}
	return m
}

func hostAt(name string, spec v1alpha1.HostSpec, credentials map[string][]byte) HostAccess {
	return HostAccess{Host: v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, Credentials: credentials}
}

func TestHowRootRightsAreGained(t *testing.T) {
	password := map[string][]byte{v1alpha1.SSHPasswordKey: []byte("login")}
	both := map[string][]byte{v1alpha1.SSHPasswordKey: []byte("login"), v1alpha1.SudoPasswordKey: []byte("root")}
	for _, c := range []struct {
		name        string
		user        string
		mode        v1alpha1.SudoMode
		credentials map[string][]byte
		want        ssh.Sudo
	}{
		{"root needs no sudo", "root", v1alpha1.SudoAuto, password, ssh.Sudo{Mode: ssh.SudoNone}},
		{"nobody named means root", "", v1alpha1.SudoAuto, nil, ssh.Sudo{Mode: ssh.SudoNone}},
		{"others with a key alone are expected not to be asked", "ops", v1alpha1.SudoAuto, nil, ssh.Sudo{Mode: ssh.SudoNoPassword}},
		{"others with a login password answer with it", "ops", v1alpha1.SudoAuto, password, ssh.Sudo{Mode: ssh.SudoPassword, Password: "login"}},
		{"a password for sudo wins over the login password", "ops", v1alpha1.SudoAuto, both, ssh.Sudo{Mode: ssh.SudoPassword, Password: "root"}},
		{"NoPassword sends none even if there is one", "ops", v1alpha1.SudoNoPassword, both, ssh.Sudo{Mode: ssh.SudoNoPassword}},
		{"None never uses sudo", "ops", v1alpha1.SudoNone, both, ssh.Sudo{Mode: ssh.SudoNone}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := target(access(hostAt("n1", v1alpha1.HostSpec{User: c.user, Sudo: c.mode}, c.credentials)), "n1", nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Sudo != c.want {
				t.Errorf("mode %v, want %v; or another password was taken", got.Sudo.Mode, c.want.Mode)
			}
		})
	}
}

func TestWhoMayBeToldAPassword(t *testing.T) {
	login := map[string][]byte{v1alpha1.SSHPasswordKey: []byte("login")}
	key := map[string][]byte{v1alpha1.SSHPrivateKeyKey: []byte("key")}
	keyAndSudo := map[string][]byte{v1alpha1.SSHPrivateKeyKey: []byte("key"), v1alpha1.SudoPasswordKey: []byte("root")}
	keyAndLogin := map[string][]byte{v1alpha1.SSHPrivateKeyKey: []byte("key"), v1alpha1.SSHPasswordKey: []byte("login")}
	for _, c := range []struct {
		name        string
		user        string
		mode        v1alpha1.SudoMode
		credentials map[string][]byte
		want        bool
	}{
		{"one that is logged in to with a key is told none", "root", v1alpha1.SudoAuto, key, false},
		{"one that is logged in to with a password is told it", "root", v1alpha1.SudoAuto, login, true},
		{"one that refuses the key is told the login password instead", "root", v1alpha1.SudoNone, keyAndLogin, true},
		{"sudo is told its password", "ops", v1alpha1.SudoAuto, keyAndSudo, true},
		{"sudo that must not ask is told none", "ops", v1alpha1.SudoNoPassword, keyAndSudo, false},
		{"root needs no sudo, so its password stays here", "root", v1alpha1.SudoAuto, keyAndSudo, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := SendsPassword(hostAt("n1", v1alpha1.HostSpec{User: c.user, Sudo: c.mode}, c.credentials)); got != c.want {
				t.Errorf("it is told one: %t", got)
			}
		})
	}
}

func TestWhichHostKeysAreTrusted(t *testing.T) {
	for _, c := range []struct {
		name     string
		policy   v1alpha1.HostKeys
		recorded string
		mode     ssh.HostKeyMode
		known    string
	}{
		{"Strict trusts the listed keys only, whatever was recorded", v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: []string{"listed"}}, "recorded", ssh.Strict, "listed"},
		{"first use trusts nothing beforehand", v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse}, "", ssh.TrustOnFirstUse, ""},
		{"later uses trust the recorded key", v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse}, "recorded", ssh.TrustOnFirstUse, "recorded"},
		{"listed keys win over a recorded one", v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse, Keys: []string{"listed"}}, "recorded", ssh.TrustOnFirstUse, "listed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hostAt("n1", v1alpha1.HostSpec{HostKeys: c.policy}, nil)
			h.Host.Status.HostKey = c.recorded
			got, err := target(access(h), "n1", func(context.Context, string, string) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got.HostKeys.Mode != c.mode || strings.Join(got.HostKeys.Known, ",") != c.known {
				t.Errorf("mode %v, keys %v", got.HostKeys.Mode, got.HostKeys.Known)
			}
		})
	}
}

func TestBastionsAreFollowedAndLoopsFound(t *testing.T) {
	via := func(name string) v1alpha1.HostSpec {
		return v1alpha1.HostSpec{Address: "192.0.2.1", BastionRef: &v1alpha1.LocalReference{Name: name}}
	}
	t.Run("a bastion is reached like any host", func(t *testing.T) {
		got, err := target(access(hostAt("n1", via("jump"), nil), hostAt("jump", v1alpha1.HostSpec{Address: "192.0.2.9"}, nil)), "n1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Bastion == nil || got.Bastion.Address != "192.0.2.9" {
			t.Errorf("bastion is %+v", got.Bastion)
		}
	})
	t.Run("one that does not exist is named", func(t *testing.T) {
		if _, err := target(access(hostAt("n1", via("jump"), nil)), "n1", nil); err == nil || !strings.Contains(err.Error(), "jump") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one that leads back to itself ends", func(t *testing.T) {
		if _, err := target(access(hostAt("n1", via("n1"), nil)), "n1", nil); err == nil {
			t.Error("the loop was followed")
		}
	})
}
