package hosts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const stateFile = "fleet.json"

// state is what a later process needs to know of a running fleet. The file is for its owner only: it holds passwords.
type state struct {
	Name    string       `json:"name"`
	Image   string       `json:"image"`
	Network string       `json:"network"`
	Subnet  netip.Prefix `json:"subnet"`
	Users   []User       `json:"users"`
	Hosts   []Host       `json:"hosts"`
}

// Open finds a fleet that an earlier process booted. The error wraps ErrNoFleet when there is none or when a part of it
// was removed.
func Open(ctx context.Context, o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(o.StateDir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("fleet %s: %w", o.Name, ErrNoFleet)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of fleet %s: %w", o.Name, err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read the state of fleet %s: %w", o.Name, err)
	}
	f := &Fleet{
		Name:           s.Name,
		Subnet:         s.Subnet,
		Gateway:        gatewayOf(s.Subnet),
		Dir:            o.StateDir,
		KeyPath:        filepath.Join(o.StateDir, "id_ed25519"),
		KnownHostsPath: filepath.Join(o.StateDir, "known_hosts"),
		Users:          s.Users,
		image:          s.Image,
		network:        s.Network,
		log:            o.Log,
		hosts:          s.Hosts,
	}
	present, err := containerNames(ctx, o.Name, "--all")
	if err != nil {
		return nil, err
	}
	for _, host := range f.hosts {
		if !slices.Contains(present, host.Container) {
			return nil, fmt.Errorf("fleet %s: host %s is gone: %w", o.Name, host.Name, ErrNoFleet)
		}
	}
	return f, nil
}

// List names the fleets that have at least one container.
func List(ctx context.Context) ([]string, error) {
	text, err := docker(ctx, "ps", "--all", "--filter", "label="+labelFleet, "--format", `{{.Label "`+labelFleet+`"}}`)
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(text))
	slices.Sort(names)
	return slices.Compact(names), nil
}

// running names the containers of the fleet that run.
func (f *Fleet) running(ctx context.Context) ([]string, error) {
	return containerNames(ctx, f.Name, "--filter", "status=running")
}

func containerNames(ctx context.Context, fleet string, more ...string) ([]string, error) {
	args := append([]string{"ps", "--filter", "label=" + labelFleet + "=" + fleet, "--format", "{{.Names}}"}, more...)
	text, err := docker(ctx, args...)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}

// save writes the fleet's description and known_hosts. The caller holds f.mu.
func (f *Fleet) save() error {
	text, err := json.MarshalIndent(state{
		Name: f.Name, Image: f.image, Network: f.network, Subnet: f.Subnet, Users: f.Users, Hosts: f.hosts,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("describe fleet %s: %w", f.Name, err)
	}
	var known bytes.Buffer
	for _, host := range f.hosts {
		for _, key := range host.HostKeys {
			fmt.Fprintf(&known, "%s,%s %s\n", host.Name, host.Address, key)
		}
	}
	for path, content := range map[string][]byte{filepath.Join(f.Dir, stateFile): append(text, '\n'), f.KnownHostsPath: known.Bytes()} {
		// Written whole or not at all: another process may read it right now.
		if err := os.WriteFile(path+".new", content, 0o600); err != nil {
			return fmt.Errorf("save fleet %s: %w", f.Name, err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("save fleet %s: %w", f.Name, err)
		}
	}
	return nil
}
