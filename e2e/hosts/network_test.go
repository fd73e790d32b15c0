package hosts

import (
	"net/netip"
	"testing"
)

func TestAFleetUsuallyGetsTheSameSubnetAgain(t *testing.T) {
	first, again := subnetCandidates("dev"), subnetCandidates("dev")
	if first[0] != again[0] {
		t.Errorf("fleet dev starts at %s and then at %s", first[0], again[0])
	}
	seen := map[netip.Prefix]bool{}
	for _, subnet := range first {
		if seen[subnet] || !netip.MustParsePrefix("10.213.0.0/16").Overlaps(subnet) || subnet.Bits() != 24 {
			t.Errorf("candidate %s is doubled or outside 10.213.0.0/16", subnet)
		}
		seen[subnet] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d candidates, want 256", len(seen))
	}
}

func TestAFreedAddressIsGivenAgainAndTheRestStaysFree(t *testing.T) {
	subnet := netip.MustParsePrefix("10.213.7.0/24")
	taken := map[netip.Addr]bool{}
	for range maxHosts {
		address, err := freeAddress(subnet, taken)
		if err != nil {
			t.Fatal(err)
		}
		taken[address] = true
	}
	if taken[gatewayOf(subnet)] || taken[netip.MustParseAddr("10.213.7.120")] {
		t.Error("the gateway or an address kept for tests was given to a host")
	}
	if address, err := freeAddress(subnet, taken); err == nil {
		t.Errorf("host %d got %s", maxHosts+1, address)
	}
	delete(taken, netip.MustParseAddr("10.213.7.12"))
	if address, err := freeAddress(subnet, taken); err != nil || address.String() != "10.213.7.12" {
		t.Errorf("got %s, %v, want the freed 10.213.7.12", address, err)
	}
}

func TestASubnetInUseIsSeenAsSuch(t *testing.T) {
	inUse := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/64")}
	if !overlaps(netip.MustParsePrefix("10.213.1.0/24"), inUse) {
		t.Error("10.213.1.0/24 lies in 10.0.0.0/8")
	}
	if overlaps(netip.MustParsePrefix("192.0.2.0/24"), inUse) {
		t.Error("192.0.2.0/24 lies in neither")
	}
}
