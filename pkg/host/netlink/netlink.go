// Package netlink does the few things the helper needs of the kernel's network configuration without any program on
// the host: delete a link, delete nftables tables, and find out whether a feature works. It must not know whose links
// and tables they are.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

var order = binary.NativeEndian

// attr encodes one attribute, padded to four bytes.
func attr(typ uint16, data []byte) []byte {
	n := unix.SizeofRtAttr + len(data)
	b := make([]byte, (n+3)&^3)
	order.PutUint16(b, uint16(n))
	order.PutUint16(b[2:], typ)
	copy(b[unix.SizeofRtAttr:], data)
	return b
}

func cstring(s string) []byte { return append([]byte(s), 0) }

// message encodes one netlink message.
func message(typ, flags uint16, seq uint32, body ...[]byte) []byte {
	n := unix.NLMSG_HDRLEN
	for _, p := range body {
		n += len(p)
	}
	// The padding is not counted in the message's length.
	b := make([]byte, (n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1))
	order.PutUint32(b, uint32(n))
	order.PutUint16(b[4:], typ)
	order.PutUint16(b[6:], flags)
	order.PutUint32(b[8:], seq)
	at := unix.NLMSG_HDRLEN
	for _, p := range body {
		at += copy(b[at:], p)
	}
	return b
}

// talk sends messages and returns the error of the acknowledgement with sequence number want (or of any message that
// failed before it).
func talk(family int, want uint32, messages ...[]byte) error {
	fd, err := open(family)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var out []byte
	for _, m := range messages {
		out = append(out, m...)
	}
	if err := unix.Sendto(fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to netlink: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		answers, err := receive(fd, buf)
		if err != nil {
			return err
		}
		for _, m := range answers {
			if m.Header.Type != unix.NLMSG_ERROR {
				if m.Header.Seq == want {
					return nil
				}
				continue
			}
			if err := acknowledged(m); err != nil {
				return err
			}
			if m.Header.Seq == want {
				return nil
			}
		}
	}
}

// open makes a netlink socket on which no read waits for ever.
func open(family int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return 0, fmt.Errorf("open netlink: %w", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("open netlink: %w", err)
	}
	return fd, nil
}

// receive reads one packet of messages.
func receive(fd int, buf []byte) ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("receive from netlink: %w", err)
	}
	answers, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil {
		return nil, fmt.Errorf("parse netlink: %w", err)
	}
	return answers, nil
}

// acknowledged is the error in an acknowledgement, nil when it says success.
func acknowledged(m syscall.NetlinkMessage) error {
	if len(m.Data) < 4 {
		return errors.New("netlink sent a short answer")
	}
	if code := int32(order.Uint32(m.Data)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// DeleteLink removes a network interface; one that is not there is no error.
func DeleteLink(name string) (found bool, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return false, fmt.Errorf("look for network interface %s: %w", name, err)
	}
	i := slices.IndexFunc(all, func(one net.Interface) bool { return one.Name == name })
	if i < 0 {
		return false, nil
	}
	info := make([]byte, unix.SizeofIfInfomsg)
	order.PutUint32(info[4:], uint32(all[i].Index))
	err = talk(unix.NETLINK_ROUTE, 1, message(unix.RTM_DELLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, info))
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("delete network interface %s: %w", name, err)
	}
	return true, nil
}

// nfgen is the header of netfilter messages.
func nfgen(family uint8, resource uint16) []byte {
	b := []byte{family, unix.NFNETLINK_V0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], resource)
	return b
}

// The address families of nftables (linux/netfilter.h), which differ from those of sockets.
const (
	FamilyInet uint8 = 1
	FamilyIP   uint8 = 2
	FamilyIP6  uint8 = 10
)

const nftType = unix.NFNL_SUBSYS_NFTABLES << 8

// DeleteTable removes an nftables table with everything in it; one that is not there is no error.
func DeleteTable(family uint8, name string) (found bool, err error) {
	// Tables are changed in batches; the acknowledgement asked for is that of the deletion.
	err = talk(unix.NETLINK_NETFILTER, 2,
		message(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 1, nfgen(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)),
		message(nftType|unix.NFT_MSG_DELTABLE, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 2, nfgen(family, 0), attr(unix.NFTA_TABLE_NAME, cstring(name))),
		message(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, 3, nfgen(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT):
		return false, nil
	}
	return false, fmt.Errorf("delete nftables table %s: %w", name, err)
}

// HasTable says whether an nftables table is there.
func HasTable(family uint8, name string) bool {
	return talk(unix.NETLINK_NETFILTER, 1,
		message(nftType|unix.NFT_MSG_GETTABLE, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, nfgen(family, 0), attr(unix.NFTA_TABLE_NAME, cstring(name)))) == nil
}

// NFTables says whether the kernel has nftables, by asking for the generation of its rules.
func NFTables() bool {
	err := talk(unix.NETLINK_NETFILTER, 1, message(nftType|unix.NFT_MSG_GETGEN, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, nfgen(unix.AF_UNSPEC, 0)))
	return err == nil
}

// VXLAN says whether the kernel can make VXLAN interfaces, by making one in a network namespace of its own, which
// vanishes at once. Without the privilege to try, the answer is false.
func VXLAN() bool {
	answer := make(chan bool)
	go func() {
		// The thread is never unlocked: it lives in the other namespace and ends with this goroutine.
		runtime.LockOSThread()
		answer <- unix.Unshare(unix.CLONE_NEWNET) == nil && addVXLAN("kwprobe") == nil
	}()
	return <-answer
}

func addVXLAN(name string) error {
	id := make([]byte, 4)
	order.PutUint32(id, 1)
	port := make([]byte, 2)
	binary.BigEndian.PutUint16(port, 8472)
	data := append(attr(unix.IFLA_VXLAN_ID, id), attr(unix.IFLA_VXLAN_PORT, port)...)
	info := append(attr(unix.IFLA_INFO_KIND, []byte("vxlan")), attr(unix.IFLA_INFO_DATA, data)...)
	return talk(unix.NETLINK_ROUTE, 1, message(unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, 1,
		make([]byte, unix.SizeofIfInfomsg), attr(unix.IFLA_IFNAME, cstring(name)), attr(unix.IFLA_LINKINFO, info)))
}

// HasLink says whether a network interface is there.
func HasLink(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}
