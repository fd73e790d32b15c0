package provision

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// target resolves how a host is reached, bastions included.
func target(access map[string]HostAccess, name string, record func(ctx context.Context, host, key string) error) (ssh.Target, error) {
	return resolve(access, name, record, 0)
}

// maxHops bounds a chain of bastions so that a loop is found.
const maxHops = 4

func resolve(access map[string]HostAccess, name string, record func(ctx context.Context, host, key string) error, depth int) (ssh.Target, error) {
	a, ok := access[name]
	if !ok {
		return ssh.Target{}, fmt.Errorf("host %s: there is no such Host; create it or correct the reference", name)
	}
	spec := a.Host.Spec
	t := ssh.Target{
		Name:    name,
		Address: spec.Address,
		Port:    int(spec.Port),
		User:    spec.User,
		Auth: ssh.Auth{
			PrivateKey:  a.Credentials[v1alpha1.SSHPrivateKeyKey],
			Passphrase:  a.Credentials[v1alpha1.SSHPassphraseKey],
			Certificate: a.Credentials[v1alpha1.SSHCertificateKey],
			Password:    string(a.Credentials[v1alpha1.SSHPasswordKey]),
		},
		HostKeys: hostKeys(a, record),
		Sudo:     sudo(spec, a.Credentials),
	}
	if t.User == "" {
		t.User = "root"
	}
	if spec.BastionRef == nil {
		return t, nil
	}
	if depth >= maxHops {
		return ssh.Target{}, fmt.Errorf("host %s: more than %d bastions in a row; does the chain lead back to itself?", name, maxHops)
	}
	bastion, err := resolve(access, spec.BastionRef.Name, record, depth+1)
	if err != nil {
		return ssh.Target{}, fmt.Errorf("bastion of host %s: %w", name, err)
	}
	t.Bastion = &bastion
	return t, nil
}

// hostKeys: listed keys are trusted in either policy; a recorded one only where keys are trusted on first use. Whoever is first to answer
// at an address is told no password unless the Host says so: neither is its key recorded then, or the next try would tell it.
func hostKeys(a HostAccess, record func(ctx context.Context, host, key string) error) ssh.HostKeyPolicy {
	host := a.Host
	policy := ssh.HostKeyPolicy{Mode: ssh.Strict, Known: host.Spec.HostKeys.Keys, Principal: host.Spec.HostKeys.Principal}
	if host.Spec.HostKeys.Policy == v1alpha1.HostKeyStrict {
		return policy
	}
	policy.Mode = ssh.TrustOnFirstUse
	if len(policy.Known) == 0 && host.Status.HostKey != "" {
		policy.Known = []string{host.Status.HostKey}
	}
	policy.Record = func(ctx context.Context, line string) error {
		if SendsPassword(a) && !host.Spec.HostKeys.PasswordOnFirstUse {
			return &ssh.KeyRefusedError{
				Why: "a password would be sent, which goes only to a host whose key is known",
				Next: "compare it with `ssh-keygen -lf` of the files /etc/ssh/ssh_host_*_key.pub on the machine and put the public key into spec.hostKeys.keys of the Host, " +
					"or log in with a private key and let sudo ask for no password, or set spec.hostKeys.passwordOnFirstUse of the Host if whoever answers first may be told it",
			}
		}
		return record(ctx, host.Name, line)
	}
	return policy
}

// SendsPassword tells that whoever answers at the address of a host may be told a password: for the login, or for sudo after it.
func SendsPassword(a HostAccess) bool {
	return len(a.Credentials[v1alpha1.SSHPasswordKey]) > 0 || sudo(a.Host.Spec, a.Credentials).Mode == ssh.SudoPassword
}

func sudo(spec v1alpha1.HostSpec, credentials map[string][]byte) ssh.Sudo {
	password := string(credentials[v1alpha1.SudoPasswordKey])
	if password == "" {
		password = string(credentials[v1alpha1.SSHPasswordKey])
	}
	switch spec.Sudo {
	case v1alpha1.SudoNone:
		return ssh.Sudo{Mode: ssh.SudoNone}
	case v1alpha1.SudoNoPassword:
		return ssh.Sudo{Mode: ssh.SudoNoPassword}
	case v1alpha1.SudoPassword:
		return ssh.Sudo{Mode: ssh.SudoPassword, Password: password}
	}
	switch {
	case spec.User == "root" || spec.User == "":
		return ssh.Sudo{Mode: ssh.SudoNone}
	case password != "":
		return ssh.Sudo{Mode: ssh.SudoPassword, Password: password}
	default:
		return ssh.Sudo{Mode: ssh.SudoNoPassword}
	}
}
