package box

import (
	"net/netip"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch"
)

func TestWhichAddressesAreConnectedTo(t *testing.T) {
	const never, named, always = "never", "when the source names it", "always"
	for title, test := range map[string]struct{ address, when string }{
		"the metadata of most clouds":                       {"169.254.169.254", never},
		"the metadata of most clouds, mapped into IPv6":     {"::ffff:169.254.169.254", never},
		"the metadata of most clouds, through NAT64":        {"64:ff9b::a9fe:a9fe", never},
		"the metadata of most clouds, through 6to4":         {"2002:a9fe:a9fe::1", never},
		"the metadata of AWS by IPv6":                       {"fd00:ec2::254", never},
		"the credentials of pods of EKS":                    {"169.254.170.23", never},
		"the credentials of pods of EKS by IPv6":            {"fd00:ec2::23", never},
		"the credentials of pods of EKS, with a zone":       {"fd00:ec2::23%eth0", never},
		"the credentials of containers of ECS":              {"169.254.170.2", never},
		"the metadata of Google by IPv6":                    {"fd20:ce::254", never},
		"the metadata of Alibaba":                           {"100.100.100.200", never},
		"the metadata of Oracle":                            {"192.0.0.192", never},
		"the metadata of Azure":                             {"168.63.129.16", never},
		"another address of the link by IPv6":               {"fe80::1", never},
		"an address of many":                                {"224.0.0.1", never},
		"an address of all":                                 {"255.255.255.255", never},
		"an address of none":                                {"::", never},
		"a neighbour of the metadata, which a site may use": {"fd00:ec2::24", named},
		"a private address":                                 {"10.0.0.1", named},
		"an address between a carrier and its customers":    {"100.64.0.1", named},
		"a unique local address":                            {"fd12:3456::1", named},
		"a public address":                                  {"192.0.2.1", always},
		"a public address by IPv6":                          {"2001:db8::1", always},
	} {
		t.Run(title, func(t *testing.T) {
			for _, byName := range []bool{true, false} {
				err := addresses{loopback: true}.judge(netip.MustParseAddr(test.address), byName)
				want := test.when == always || test.when == named && byName
				if (err == nil) != want {
					t.Errorf("named by the source: %v: got %v", byName, err)
				}
				if err != nil && fetch.KindOf(err) != fetch.NotAllowed {
					t.Errorf("it is refused as %s", fetch.KindOf(err))
				}
			}
		})
	}
}
