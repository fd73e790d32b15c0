package hosts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Host is one machine of a fleet.
type Host struct {
	// Name is also the hostname.
	Name string `json:"name"`
	// Address is where sshd listens, on port 22. It stays the same when the host is killed and started again.
	Address netip.Addr `json:"address"`
	// Container is the name of the host's container.
	Container string `json:"container"`
	// HostKeys are the public keys of sshd, each "type base64", ed25519 first, then ecdsa.
	HostKeys []string `json:"hostKeys"`
}

// Fleet is a set of running hosts on a network of their own. Its methods may be used by several goroutines at once.
type Fleet struct {
	// Name of the fleet.
	Name string
	// Subnet of the fleet's network, and Gateway, this machine's address on it. Addresses with a last byte of 120 to 250
	// are never given to a host, so tests can use them as virtual addresses.
	Subnet  netip.Prefix
	Gateway netip.Addr
	// Dir is where the fleet's files are.
	Dir string
	// KeyPath is the private key that logs in as root and as every user with Key set; the public one is beside it (.pub).
	KeyPath string
	// KnownHostsPath lists the host keys of all hosts, for ssh's UserKnownHostsFile.
	KnownHostsPath string
	// Users are the accounts on every host besides root.
	Users []User

	image   string
	network string
	log     func(string, ...any)

	mu    sync.Mutex
	hosts []Host
}

// Up boots a fleet: it gets an engine and the image where they are missing, removes whatever an earlier fleet of the
// same name left, and returns when every host accepts logins. When it fails, nothing of the fleet is left.
func Up(ctx context.Context, o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ensureEngineFor(ctx, o); err != nil {
		return nil, err
	}
	image, err := EnsureImage(ctx, o)
	if err != nil {
		return nil, err
	}
	raiseWatchLimits(o.Log)
	warnOfLittleRoom(o)
	unlock, err := lock(ctx, lockPath(o))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := remove(ctx, o); err != nil {
		return nil, fmt.Errorf("remove the earlier fleet %s: %w", o.Name, err)
	}
	fleet, err := start(ctx, o, image)
	if err != nil {
		// The caller's context may be what ended it.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		return nil, errors.Join(err, remove(cleanup, o))
	}
	return fleet, nil
}

// Ensure returns the fleet as it runs when all its hosts run and are as many as asked for, and boots it anew otherwise.
func Ensure(ctx context.Context, o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ensureEngineFor(ctx, o); err != nil {
		return nil, err
	}
	fleet, err := Open(ctx, o)
	if errors.Is(err, ErrNoFleet) {
		return Up(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	running, err := fleet.running(ctx)
	if err != nil {
		return nil, err
	}
	if len(running) != o.Count || len(fleet.Hosts()) != o.Count {
		return Up(ctx, o)
	}
	return fleet, nil
}

// Down stops and removes the hosts, their data and their network, and the fleet's files.
func (f *Fleet) Down(ctx context.Context) error {
	return Down(ctx, Options{Name: f.Name, StateDir: f.Dir})
}

// Down removes a fleet by name, also one that a crashed run left in pieces. A fleet that does not exist is no error.
func Down(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, lockPath(o))
	if err != nil {
		return err
	}
	defer unlock()
	if err := remove(ctx, o); err != nil {
		return fmt.Errorf("remove fleet %s: %w", o.Name, err)
	}
	return nil
}

// Hosts lists the hosts, oldest first.
func (f *Fleet) Hosts() []Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.hosts)
}

// Host finds a host by name; the error wraps ErrNoHost.
func (f *Fleet) Host(name string) (Host, error) {
	for _, host := range f.Hosts() {
		if host.Name == name {
			return host, nil
		}
	}
	return Host{}, fmt.Errorf("fleet %s, host %s: %w", f.Name, name, ErrNoHost)
}

// Password returns the login password of a user; empty when the user has none.
func (f *Fleet) Password(user string) string {
	for _, u := range f.Users {
		if u.Name == user {
			return u.Password
		}
	}
	return ""
}

func ensureEngineFor(ctx context.Context, o Options) error {
	if o.Engine.Log == nil {
		o.Engine.Log = o.Log
	}
	return EnsureEngine(ctx, o.Engine)
}

func lockPath(o Options) string { return strings.TrimSuffix(o.StateDir, "/") + ".lock" }

func start(ctx context.Context, o Options, image string) (*Fleet, error) {
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	key, err := newEd25519("e2e-" + o.Name)
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		Name:           o.Name,
		Dir:            o.StateDir,
		KeyPath:        filepath.Join(o.StateDir, "id_ed25519"),
		KnownHostsPath: filepath.Join(o.StateDir, "known_hosts"),
		Users:          o.Users,
		image:          image,
		network:        "kw-" + o.Name,
		log:            o.Log,
	}
	if err := os.WriteFile(f.KeyPath, key.Private, 0o600); err != nil {
		return nil, fmt.Errorf("write the client key: %w", err)
	}
	if err := os.WriteFile(f.KeyPath+".pub", []byte(key.Public+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write the client key: %w", err)
	}
	if f.Subnet, err = createNetwork(ctx, f.network, o); err != nil {
		return nil, err
	}
	f.Gateway = gatewayOf(f.Subnet)
	specs := make([]HostSpec, o.Count)
	for i := range specs {
		specs[i].Name = fmt.Sprintf("n%d", i+1)
	}
	if _, err := f.Add(ctx, specs...); err != nil {
		return nil, err
	}
	return f, nil
}

// remove deletes everything that carries the fleet's label, then the fleet's files.
func remove(ctx context.Context, o Options) error {
	filter := "label=" + labelFleet + "=" + o.Name
	containers, err := docker(ctx, "ps", "--all", "--quiet", "--filter", filter)
	if err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, id := range strings.Fields(string(containers)) {
		group.Go(func() error { return removeContainer(inner, id) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	networks, err := docker(ctx, "network", "ls", "--quiet", "--filter", filter)
	if err != nil {
		return err
	}
	for _, id := range strings.Fields(string(networks)) {
		if _, err := docker(ctx, "network", "rm", id); err != nil {
			return err
		}
	}
	for _, name := range []string{"id_ed25519", "id_ed25519.pub", "known_hosts", stateFile} {
		if err := os.Remove(filepath.Join(o.StateDir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the fleet's files: %w", err)
		}
	}
	// What somebody else put there is theirs to remove, so a directory that is not empty stays.
	_ = os.Remove(o.StateDir)
	return nil
}
