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
	// Chains lists the nftables chains and rules of a family, Remove takes some out.
	Chains(family uint8) ([]netlink.Chain, []netlink.Rule, error)
	Remove(family uint8, r netlink.Removal) error
	// Unload removes a kernel module that nothing uses. Errors: ErrInUse.
	Unload(module string) error
	// HasLink and HasTable only look.
	HasLink(name string) bool
	HasTable(family uint8, name string) bool
}

// ErrInUse says that a kernel module stays: something uses it, or it is not ours to unload.
var ErrInUse = errors.New("in use")

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

// Chains implements Kernel.
func (Machine) Chains(family uint8) ([]netlink.Chain, []netlink.Rule, error) {
	return netlink.Chains(family)
}

// Remove implements Kernel.
func (Machine) Remove(family uint8, r netlink.Removal) error { return netlink.Remove(family, r) }

// Unload implements Kernel. Without force the kernel itself refuses while anything uses the module; in a container it is the
// machine's to keep.
func (Machine) Unload(module string) error {
	err := unix.DeleteModule(module, unix.O_NONBLOCK)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EBUSY), errors.Is(err, unix.EPERM):
		return ErrInUse
	}
	return fmt.Errorf("unload kernel module %s: %w", module, err)
}

// HasLink implements Kernel.
func (Machine) HasLink(name string) bool { return netlink.HasLink(name) }

// HasTable implements Kernel.
func (Machine) HasTable(family uint8, name string) bool { return netlink.HasTable(family, name) }
