package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// waitBooted returns when sshd greets and systemd has finished booting, because before that only root may log in.
func waitBooted(ctx context.Context, host Host) error {
	if err := waitBanner(ctx, host); err != nil {
		logs, _ := docker(context.WithoutCancel(ctx), "logs", "--tail", "20", host.Container)
		return fmt.Errorf("%w; the end of its console:\n%s", err, logs)
	}
	// It exits non-zero when a unit failed; what it prints tells how the boot ended.
	text, err := docker(ctx, "exec", host.Container, "systemctl", "is-system-running", "--wait")
	if state := strings.TrimSpace(string(text)); state == "running" {
		return nil
	} else if err == nil {
		err = fmt.Errorf("state %q", state)
	}
	failed, _ := docker(ctx, "exec", host.Container, "systemctl", "--failed", "--no-legend", "--plain")
	return fmt.Errorf("systemd did not come up on %s: %w; failed units:\n%s", host.Name, err, failed)
}

func waitBanner(ctx context.Context, host Host) error {
	var last error
	err := until(ctx, func() (bool, error) {
		last = banner(ctx, host.Address)
		if last == nil {
			return true, nil
		}
		text, err := docker(ctx, "container", "inspect", "--format", "{{.State.Status}}", host.Container)
		if status := strings.TrimSpace(string(text)); err == nil && status != "running" {
			return false, fmt.Errorf("container %s is %s", host.Container, status)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for sshd at %s: %w", host.Address, errors.Join(err, last))
	}
	return nil
}

// banner asks for sshd's greeting.
func banner(ctx context.Context, address netip.Addr) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(address, 22).String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	greeting := make([]byte, 4)
	if _, err := conn.Read(greeting); err != nil {
		return fmt.Errorf("read the greeting of sshd: %w", err)
	}
	if string(greeting) != "SSH-" {
		return fmt.Errorf("%s port 22 greets with %q instead of SSH-", address, greeting)
	}
	return nil
}
