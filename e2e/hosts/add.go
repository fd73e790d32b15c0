package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// bootTimeout is how long one host may take until it accepts logins, on a busy machine.
const bootTimeout = 2 * time.Minute

// Add boots more hosts, all at once, and returns when they accept logins. When one fails, none of them is left.
func (f *Fleet) Add(ctx context.Context, specs ...HostSpec) ([]Host, error) {
	public, err := os.ReadFile(f.KeyPath + ".pub")
	if err != nil {
		return nil, fmt.Errorf("read the client key: %w", err)
	}
	added, seeds, err := f.reserve(specs, string(bytes.TrimSpace(public)))
	if err != nil {
		return nil, err
	}
	group, inner := errgroup.WithContext(ctx)
	for i, host := range added {
		group.Go(func() error {
			if err := f.boot(inner, host, specs[i], seeds[i]); err != nil {
				return fmt.Errorf("boot host %s: %w", host.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		for _, host := range added {
			err = errors.Join(err, f.Remove(cleanup, host.Name))
		}
		return nil, err
	}
	return added, nil
}

// reserve gives every new host its address and keys and writes them down before anything is started, so that a crash
// leaves nothing unknown.
func (f *Fleet) reserve(specs []HostSpec, clientKey string) ([]Host, []seed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := map[netip.Addr]bool{}
	names := map[string]bool{}
	for _, host := range f.hosts {
		taken[host.Address], names[host.Name] = true, true
	}
	var added []Host
	var seeds []seed
	for _, spec := range specs {
		if !hostName.MatchString(spec.Name) {
			return nil, nil, fmt.Errorf("host name %q: want lower-case letters, digits and -", spec.Name)
		}
		if names[spec.Name] {
			return nil, nil, fmt.Errorf("fleet %s has a host %s already", f.Name, spec.Name)
		}
		address, err := freeAddress(f.Subnet, taken)
		if err != nil {
			return nil, nil, err
		}
		ed25519Key, err := newEd25519(spec.Name)
		if err != nil {
			return nil, nil, err
		}
		ecdsaKey, err := newECDSA(spec.Name)
		if err != nil {
			return nil, nil, err
		}
		taken[address], names[spec.Name] = true, true
		added = append(added, Host{
			Name: spec.Name, Address: address, Container: f.network + "-" + spec.Name,
			HostKeys: []string{ed25519Key.Public, ecdsaKey.Public},
		})
		seeds = append(seeds, seed{
			gateway: f.Gateway, clientKey: clientKey, users: f.Users,
			hostKeys: map[string]keyPair{"ed25519": ed25519Key, "ecdsa": ecdsaKey},
		})
	}
	f.hosts = append(f.hosts, added...)
	if err := f.save(); err != nil {
		return nil, nil, err
	}
	return added, seeds, nil
}

func (f *Fleet) boot(ctx context.Context, host Host, spec HostSpec, s seed) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if _, err := docker(ctx, createArgs(f, host, spec)...); err != nil {
		return err
	}
	files, err := s.tar()
	if err != nil {
		return err
	}
	if _, err := command(ctx, files, "docker", "cp", "-", host.Container+":/"); err != nil {
		return err
	}
	if _, err := docker(ctx, "start", host.Container); err != nil {
		return err
	}
	return waitBooted(ctx, host)
}

// stateVolumes are directories that are volumes: overlay file systems cannot be stacked on the container's own overlay,
// and etcd is slow there.
var stateVolumes = []string{"/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/kubewright"}

// createArgs are the arguments of docker create. A privileged container would be simpler, but cannot be made on machines
// that lack CAP_SYS_RESOURCE; every host does without that capability, so that hosts are the same everywhere.
func createArgs(f *Fleet, host Host, spec HostSpec) []string {
	args := []string{
		"create", "--name", host.Container, "--hostname", host.Name,
		"--network", f.network, "--ip", host.Address.String(),
		"--label", labelFleet + "=" + f.Name,
		"--env", "container=docker",
		"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm",
		"--cgroupns=private", "--stop-signal", "SIGRTMIN+3",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",
	}
	for _, device := range []string{"/dev/kmsg", "/dev/fuse"} {
		if exists(device) {
			args = append(args, "--device", device)
		}
	}
	// Where the kernel is modular, a host has to be able to load what it needs.
	if exists("/lib/modules") {
		args = append(args, "--volume", "/lib/modules:/lib/modules:ro")
	}
	for _, path := range stateVolumes {
		if _, replaced := spec.Tmpfs[path]; !replaced && !spec.NoVolumes {
			args = append(args, "--volume", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(spec.Tmpfs)) {
		args = append(args, "--tmpfs", path+":exec,size="+spec.Tmpfs[path])
	}
	if spec.Memory != "" {
		args = append(args, "--memory", spec.Memory)
	}
	return append(args, f.image)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
