package cli

import (
	"context"
	"sync"

	"github.com/kubewright/kubewright/pkg/provision"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// refuseUnrecorded is for commands that talk to hosts an operation has reached before: a key that nobody recorded is not trusted.
func refuseUnrecorded(context.Context, string, string) error {
	return &ssh.KeyRefusedError{Why: "this command records none", Next: "run `kubewright up` first"}
}

// unrecordedKeys judges host keys that nobody recorded, for a command that stores nothing and so would believe any key each time it
// is run. A password is not given to such a host. A private key proves who we are without telling anything that could be used again,
// so with one the host is looked at, and the user is told whom to check.
type unrecordedKeys struct {
	// secret names the hosts that would be told a password.
	secret map[string]bool
	// warn takes a line for the user.
	warn func(string)

	mu   sync.Mutex
	seen map[string]string
}

func newUnrecordedKeys(hosts []provision.HostAccess, warn func(string)) *unrecordedKeys {
	u := &unrecordedKeys{secret: map[string]bool{}, seen: map[string]string{}, warn: warn}
	for _, a := range hosts {
		u.secret[a.Host.Name] = provision.SendsPassword(a)
	}
	return u
}

// record stands in for provision.Request.RecordHostKey. A host has to keep to the key it showed first for as long as the command lasts.
func (u *unrecordedKeys) record(_ context.Context, host, key string) error {
	if u.secret[host] {
		return &ssh.KeyRefusedError{
			Why: "this command records none, so no password is sent",
			Next: "compare it with `ssh-keygen -lf` of the files /etc/ssh/ssh_host_*_key.pub on the machine and put the public key into spec.hostKeys.keys of the Host, " +
				"or log in with a private key and let sudo ask for no password",
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch before, known := u.seen[host]; {
	case known && before != key:
		return &ssh.OtherKeyError{Recorded: before}
	case known:
		return nil
	}
	u.seen[host] = key
	u.warn("host " + host + ": no host key is known, so whoever answered was believed; it presented " + ssh.Fingerprint(key) +
		": compare it on the machine before you run `kubewright up`, which records it")
	return nil
}
