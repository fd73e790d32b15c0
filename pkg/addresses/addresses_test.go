package addresses_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/kubewright/kubewright/pkg/addresses"
)

func TestWhichAddressesHostsMayHave(t *testing.T) {
	site := addresses.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("169.254.10.0/24"), netip.MustParsePrefix("fe80::/10")}}
	for _, tc := range []struct {
		name, address string
		policy        addresses.Policy
		refused       bool
	}{
		{"an address of the internet", "198.51.100.1", addresses.Policy{}, false},
		{"a private address", "10.1.2.3", addresses.Policy{}, false},
		{"a private address of IPv6", "fd12::1", addresses.Policy{}, false},
		{"one between carriers and customers", "100.64.1.1", addresses.Policy{}, false},
		{"this machine", "127.0.0.1", addresses.Policy{}, true},
		{"this machine by another address", "127.8.9.1", addresses.Policy{}, true},
		{"this machine in IPv6", "::1", addresses.Policy{}, true},
		{"this machine, mapped into IPv6", "::ffff:127.0.0.1", addresses.Policy{}, true},
		{"this machine for a person who runs the program there", "127.0.0.1", addresses.Local(), false},
		{"this machine in IPv6 for such a person", "::1", addresses.Local(), false},
		{"every address of this machine", "0.0.0.0", addresses.Local(), true},
		{"the metadata of a cloud", "169.254.169.254", addresses.Local(), true},
		{"the metadata of a cloud in IPv6", "fd00:ec2::254", addresses.Local(), true},
		{"the metadata of a cloud behind NAT64", "64:ff9b::a9fe:a9fe", addresses.Local(), true},
		{"the metadata of a cloud outside the link", "168.63.129.16", addresses.Local(), true},
		{"an address of the link", "169.254.10.1", addresses.Policy{}, true},
		{"an address of a link that is allowed", "169.254.10.1", site, false},
		{"the metadata beside a link that is allowed", "169.254.169.254", site, true},
		{"an address of a link in IPv6 with its zone", "fe80::1%eth0", addresses.Policy{}, true},
		{"the same, allowed", "fe80::1%eth0", site, false},
		{"multicast", "224.0.0.1", addresses.Policy{}, true},
		{"broadcast", "255.255.255.255", addresses.Policy{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.policy.Judge(netip.MustParseAddr(tc.address))
			var refused *addresses.RefusedError
			if (err != nil) != tc.refused || tc.refused && !errors.As(err, &refused) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestANameIsJudgedByWhatItLeadsTo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var refused *addresses.RefusedError
	if conn, err := (addresses.Policy{}).Dial(t.Context(), "tcp", net.JoinHostPort("localhost", port)); !errors.As(err, &refused) {
		t.Errorf("got %v and %v", conn, err)
	}
	conn, err := addresses.Local().Dial(t.Context(), "tcp4", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
