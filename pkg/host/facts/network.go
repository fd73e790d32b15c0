package facts

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/firewall"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func interfaces() []api.Interface {
	ifis, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []api.Interface
	for _, i := range ifis {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		a := api.Interface{Name: i.Name, MTU: i.MTU, Up: i.Flags&net.FlagUp != 0, MAC: i.HardwareAddr.String()}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, addr := range addrs {
			a.Addresses = append(a.Addresses, addr.String())
		}
		all = append(all, a)
	}
	return all
}

// defaultRoutes names the interfaces of the default routes.
func defaultRoutes(s *sys.System) (v4, v6 string) {
	for line := range strings.Lines(read(s, "/proc/net/route")) {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask ...
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" {
			v4 = f[0]
			break
		}
	}
	for line := range strings.Lines(read(s, "/proc/net/ipv6_route")) {
		// destination prefixlength source prefixlength nexthop metric refcount use flags device; the kernel also lists
		// an unreachable default on lo.
		f := strings.Fields(line)
		if len(f) >= 10 && f[1] == "00" && strings.Trim(f[0], "0") == "" && f[9] != "lo" {
			v6 = f[9]
			break
		}
	}
	return v4, v6
}

// tables reads the firewall. One that cannot be read is as good as none: what it drops shows later.
func tables(s *sys.System) []api.FirewallTable {
	if !s.Real() {
		return nil
	}
	all, err := firewall.Read()
	if err != nil {
		return nil
	}
	return all
}

// legacyFilter reports whether the kernel holds a table of the older iptables that filters packets.
func legacyFilter(s *sys.System) bool {
	return slices.Contains(strings.Fields(read(s, "/proc/net/ip_tables_names")), "filter")
}

// routeGateway is the flag of a route over another host (RTF_GATEWAY of linux/route.h).
const routeGateway = 2

// routes lists the routes of IPv4 but the default ones.
func routes(s *sys.System) []api.Route {
	var all []api.Route
	for line := range strings.Lines(read(s, "/proc/net/route")) {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask ...
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		to, ok := hexIPv4(f[1])
		mask, valid := hexIPv4(f[7])
		flags, err := strconv.ParseUint(f[3], 16, 16)
		if !ok || !valid || err != nil {
			continue
		}
		bits, _ := net.IPMask(mask.AsSlice()).Size()
		if bits == 0 {
			continue
		}
		all = append(all, api.Route{Network: netip.PrefixFrom(to, bits).String(), Interface: f[0], Gateway: flags&routeGateway != 0})
	}
	return all
}

// hexIPv4 parses an address of /proc/net/route, which stands there in the machine's byte order, as in hexAddress.
func hexIPv4(s string) (netip.Addr, bool) {
	at, ok := hexAddress(s + ":0")
	return at.Addr(), ok && at.Addr().Is4()
}

func nameservers(s *sys.System, file string) []string {
	var all []string
	for line := range strings.Lines(read(s, file)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			all = append(all, f[1])
		}
	}
	return all
}

// missing reports that a path is not there, or is a link that leads nowhere.
func missing(s *sys.System, path string) bool {
	_, err := os.Stat(s.Path(path))
	return errors.Is(err, fs.ErrNotExist)
}

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// listening reads the TCP sockets that accept connections, with the processes that hold them.
func listening(s *sys.System, procs []process) []api.Listening {
	owner := map[string]process{}
	for _, p := range procs {
		for _, inode := range p.sockets {
			// The lowest PID is the parent of those that inherited the socket.
			if o, ok := owner[inode]; !ok || p.pid < o.pid {
				owner[inode] = p
			}
		}
	}
	var all []api.Listening
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for line := range strings.Lines(read(s, file)) {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != tcpListen {
				continue
			}
			addr, ok := hexAddress(f[1])
			if !ok {
				continue
			}
			p := owner[f[9]]
			all = append(all, api.Listening{Address: addr.Addr().String(), Port: int(addr.Port()), Process: p.name, PID: p.pid})
		}
	}
	slices.SortStableFunc(all, func(a, b api.Listening) int { return a.Port - b.Port })
	return all
}

// hexAddress parses "0100007F:1F90": each 32-bit word of the address in the machine's byte order (little endian on every
// platform we support), the port in hex.
func hexAddress(s string) (netip.AddrPort, bool) {
	a, p, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(p, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(a)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(port)), ok
}
