package standalone

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservation keeps a port of the loopback address for the API server: bound but never listening, so no connection comes here,
// and nobody else can take the port between now and the API server's start.
type reservation struct {
	fd   int
	port int
}

// reservePort takes a free port. The API server shares it by its own use of SO_REUSEPORT (--permit-port-sharing).
func reservePort() (*reservation, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	r := &reservation{fd: fd}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		r.release()
		return nil, fmt.Errorf("reserve a port on %s: %w", loopback, err)
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		r.release()
		return nil, fmt.Errorf("reserve a port on %s: the kernel answered with %T", loopback, name)
	}
	r.port = address.Port
	return r, nil
}

func (r *reservation) release() { _ = unix.Close(r.fd) }
