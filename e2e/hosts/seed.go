package hosts

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// seed is what makes one container of the image a particular host. It is copied into the container before its first
// start, as a tar stream, so that no secret stands in an argument or the environment.
type seed struct {
	gateway   netip.Addr
	clientKey string
	users     []User
	hostKeys  map[string]keyPair // by type: ed25519, ecdsa
}

// tar writes the files of the seed. Directories that the image has are not repeated, to keep their modes.
func (s seed) tar() (*bytes.Buffer, error) {
	machineID := make([]byte, 16)
	if _, err := rand.Read(machineID); err != nil {
		return nil, fmt.Errorf("make a machine id: %w", err)
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	now := time.Now()
	var failed error
	add := func(name string, mode int64, content string) {
		if failed != nil {
			return
		}
		failed = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: now})
		if failed == nil {
			_, failed = archive.Write([]byte(content))
		}
	}
	dir := func(name string, mode int64) {
		if failed == nil {
			failed = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: now})
		}
	}

	add("etc/machine-id", 0o444, hex.EncodeToString(machineID)+"\n")
	for kind, key := range s.hostKeys {
		add("etc/ssh/ssh_host_"+kind+"_key", 0o600, string(key.Private))
		add("etc/ssh/ssh_host_"+kind+"_key.pub", 0o644, key.Public+"\n")
	}
	dir("etc/ssh/authorized_keys/", 0o755)
	add("etc/ssh/authorized_keys/root", 0o644, s.clientKey+"\n")
	var names, passwords string
	for _, user := range s.users {
		names += user.Name + "\n"
		if user.Password != "" {
			passwords += user.Name + ":" + user.Password + "\n"
		}
		if user.Key {
			add("etc/ssh/authorized_keys/"+user.Name, 0o644, s.clientKey+"\n")
		}
		switch user.Sudo {
		case SudoNone:
		case SudoNoPassword:
			add("etc/sudoers.d/"+user.Name, 0o440, user.Name+" ALL=(ALL:ALL) NOPASSWD: ALL\n")
		case SudoPassword:
			add("etc/sudoers.d/"+user.Name, 0o440, user.Name+" ALL=(ALL:ALL) ALL\n")
		}
	}
	dir("etc/e2e-host/", 0o700)
	// The gateway answers no DNS query, but unlike Docker's resolver it is no loopback address, on which CoreDNS would
	// find itself in a loop.
	add("etc/e2e-host/resolv.conf", 0o644, "nameserver "+s.gateway.String()+"\n")
	add("etc/e2e-host/users", 0o600, names)
	add("etc/e2e-host/passwords", 0o600, passwords)
	if failed == nil {
		failed = archive.Close()
	}
	if failed != nil {
		return nil, fmt.Errorf("pack the files of a host: %w", failed)
	}
	return &buffer, nil
}
