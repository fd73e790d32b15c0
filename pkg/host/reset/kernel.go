package reset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/netlink"
)

// Kernel is what Reset does to the running kernel, apart so that tests of Reset do not do it.
type Kernel interface {
	// Unmount detaches the mount at path.
	Unmount(path string) error
	// Kill ends processes at once and waits until they are gone.
	Kill(ctx context.Context, pids []int) error
	// DeleteLink removes a network interface, DeleteTable an nftables table; found is false when there was none.
	DeleteLink(name string) (found bool, err error)
	DeleteTable(family uint8, name string) (found bool, err error)
	// HasLink and HasTable only look.
	HasLink(name string) bool
	HasTable(family uint8, name string) bool
}

// Machine is the Kernel of a real machine.
type Machine struct{}

// Unmount implements Kernel. The mount goes away at once, even while somebody still has a file open in it.
func (Machine) Unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// killWait bounds the wait for killed processes to be gone.
const killWait = 10 * time.Second

// Kill implements Kernel.
func (Machine) Kill(ctx context.Context, pids []int) error {
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for alive(pid) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("process %d is still there after SIGKILL: it hangs in the kernel", pid)
			case <-tick.C:
			}
		}
	}
	return nil
}

// DeleteLink implements Kernel.
func (Machine) DeleteLink(name string) (bool, error) { return netlink.DeleteLink(name) }

// DeleteTable implements Kernel.
func (Machine) DeleteTable(family uint8, name string) (bool, error) {
	return netlink.DeleteTable(family, name)
}

// HasLink implements Kernel.
func (Machine) HasLink(name string) bool { return netlink.HasLink(name) }

// HasTable implements Kernel.
func (Machine) HasTable(family uint8, name string) bool { return netlink.HasTable(family, name) }
