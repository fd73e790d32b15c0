package hosts

import (
	"context"
	"fmt"
	"strings"
)

// InNetwork runs a program of this machine as root in the network of a host, to look at what the host itself has no program for.
func (f *Fleet) InNetwork(ctx context.Context, name string, argv ...string) ([]byte, error) {
	process, err := f.process(ctx, name)
	if err != nil {
		return nil, err
	}
	out, err := command(ctx, nil, append([]string{"nsenter", "--net=" + process + "/ns/net"}, argv...)...)
	if err != nil {
		return out, fmt.Errorf("in the network of host %s: %w", name, err)
	}
	return out, nil
}

// Root is the directory of this machine in which all of a host's files are seen, as the host sees them. It is good until the host stops.
func (f *Fleet) Root(ctx context.Context, name string) (string, error) {
	process, err := f.process(ctx, name)
	return process + "/root", err
}

// process is the directory below this machine's /proc of a host's first process.
func (f *Fleet) process(ctx context.Context, name string) (string, error) {
	host, err := f.Host(name)
	if err != nil {
		return "", err
	}
	pid, err := docker(ctx, "container", "inspect", "--format", "{{.State.Pid}}", host.Container)
	if err != nil {
		return "", fmt.Errorf("find the processes of host %s: %w", name, err)
	}
	return "/proc/" + strings.TrimSpace(string(pid)), nil
}
