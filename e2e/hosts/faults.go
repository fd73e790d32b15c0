package hosts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// downTimeout is how long removing containers may take after the caller's context has ended.
const downTimeout = time.Minute

// Kill ends every process of a host at once, like pulling the plug. Its disks stay; Start boots it again.
func (f *Fleet) Kill(ctx context.Context, name string) error {
	return f.do(ctx, name, "kill")
}

// Start boots a host that was killed or stopped and returns when it accepts logins. It keeps its address, keys and disks.
func (f *Fleet) Start(ctx context.Context, name string) error {
	if err := f.do(ctx, name, "start"); err != nil {
		return err
	}
	host, err := f.Host(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	return waitBooted(ctx, host)
}

// Stop shuts a host down in order.
func (f *Fleet) Stop(ctx context.Context, name string) error {
	return f.do(ctx, name, "stop", "--time", "60")
}

// Pause freezes every process of a host: connections stay open and nothing answers.
func (f *Fleet) Pause(ctx context.Context, name string) error { return f.do(ctx, name, "pause") }

// Unpause lets a frozen host go on.
func (f *Fleet) Unpause(ctx context.Context, name string) error { return f.do(ctx, name, "unpause") }

// Disconnect takes the network away from a running host.
func (f *Fleet) Disconnect(ctx context.Context, name string) error {
	host, err := f.Host(name)
	if err != nil {
		return err
	}
	if _, err := docker(ctx, "network", "disconnect", f.network, host.Container); err != nil {
		return fmt.Errorf("disconnect host %s: %w", name, err)
	}
	return nil
}

// Connect gives a disconnected host its network back, at the same address.
func (f *Fleet) Connect(ctx context.Context, name string) error {
	host, err := f.Host(name)
	if err != nil {
		return err
	}
	if _, err := docker(ctx, "network", "connect", "--ip", host.Address.String(), f.network, host.Container); err != nil {
		return fmt.Errorf("connect host %s: %w", name, err)
	}
	// As at boot: the engine may have set a default route.
	if _, err := f.Exec(ctx, name, "ip", "route", "flush", "default"); err != nil {
		return fmt.Errorf("connect host %s: %w", name, err)
	}
	return nil
}

// Remove destroys a host and its disks. Its name and address may be given to a new one.
func (f *Fleet) Remove(ctx context.Context, name string) error {
	host, err := f.Host(name)
	if err != nil {
		return err
	}
	if err := removeContainer(ctx, host.Container); err != nil {
		return fmt.Errorf("remove host %s: %w", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts = slices.DeleteFunc(f.hosts, func(h Host) bool { return h.Name == name })
	return f.save()
}

// do runs one docker verb on a host's container.
func (f *Fleet) do(ctx context.Context, name string, verb ...string) error {
	host, err := f.Host(name)
	if err != nil {
		return err
	}
	if _, err := docker(ctx, append(verb, host.Container)...); err != nil {
		return fmt.Errorf("%s host %s: %w", verb[0], name, err)
	}
	return nil
}

// removeContainer deletes a container and its volumes; one that is gone already is no error.
func removeContainer(ctx context.Context, container string) error {
	_, err := docker(ctx, "rm", "--force", "--volumes", container)
	if err != nil && strings.Contains(err.Error(), "No such container") {
		return nil
	}
	return err
}
