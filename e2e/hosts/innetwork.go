package hosts

import (
	"context"
	"fmt"
	"strings"
)

// InNetwork runs a program of this machine as root in the network of a host, to look at what the host itself has no program for.
func (f *Fleet) InNetwork(ctx context.Context, name string, argv ...string) ([]byte, error) {
	host, err := f.Host(name)
	if err != nil {
		return nil, err
	}
	pid, err := docker(ctx, "container", "inspect", "--format", "{{.State.Pid}}", host.Container)
	if err != nil {
		return nil, fmt.Errorf("find the processes of host %s: %w", name, err)
	}
	out, err := command(ctx, nil, append([]string{"nsenter", "--net=/proc/" + strings.TrimSpace(string(pid)) + "/ns/net"}, argv...)...)
	if err != nil {
		return out, fmt.Errorf("in the network of host %s: %w", name, err)
	}
	return out, nil
}
