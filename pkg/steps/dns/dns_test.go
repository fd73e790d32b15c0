package dns

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

func listening(address string) []hostapi.Listening {
	return []hostapi.Listening{{Address: address, Port: 53}}
}

func TestAHostsResolverIsReadFromItsFacts(t *testing.T) {
	for name, test := range map[string]struct {
		facts hostapi.Facts
		want  Resolver
		known bool
	}{
		"a name server that pods can reach": {
			hostapi.Facts{Nameservers: []string{"192.0.2.53"}}, Resolver{File: ResolvConf, Servers: []string{"192.0.2.53"}}, true,
		},
		"no file":           {hostapi.Facts{ResolvConfMissing: true}, Resolver{File: ResolvConf, Missing: true}, false},
		"an empty file":     {hostapi.Facts{}, Resolver{File: ResolvConf}, false},
		"no address at all": {hostapi.Facts{Nameservers: []string{"what", "0.0.0.0"}}, Resolver{File: ResolvConf}, false},
		"the stub of systemd-resolved without systemd-resolved": {
			hostapi.Facts{Nameservers: []string{"127.0.0.53"}}, Resolver{File: ResolvConf, Dead: []string{"127.0.0.53"}}, false,
		},
		"the stub of systemd-resolved, which asks others": {
			hostapi.Facts{Nameservers: []string{"127.0.0.53"}, Resolved: true, ResolvedNameservers: []string{"192.0.2.53"}, Listening: listening("127.0.0.53")},
			Resolver{File: ResolvedResolvConf, Servers: []string{"192.0.2.53"}}, true,
		},
		"systemd-resolved that knows nobody to ask": {
			hostapi.Facts{Nameservers: []string{"127.0.0.53"}, Resolved: true, Listening: listening("127.0.0.53")}, Resolver{File: ResolvedResolvConf}, false,
		},
		"a name server of the host's own, at all addresses": {
			hostapi.Facts{Nameservers: []string{"127.0.0.1"}, Listening: listening("0.0.0.0")}, Resolver{File: ResolvConf, Local: []string{"127.0.0.1"}}, true,
		},
		"a name server of the host's own, over IPv6": {
			hostapi.Facts{Nameservers: []string{"::1"}, Listening: listening("::1")}, Resolver{File: ResolvConf, Local: []string{"::1"}}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ResolverOf(&test.facts)
			if !reflect.DeepEqual(got, test.want) || got.Known() != test.known {
				t.Errorf("it is %+v, known %v", got, got.Known())
			}
		})
	}
}

func TestKubeletIsToldOfNameServersOnlyWhereItsHostIsUnlikeTheFirst(t *testing.T) {
	none, plain, other := "", ResolvConf, ResolvedResolvConf
	for name, test := range map[string]struct {
		host, first *hostapi.Facts
		want        *string
	}{
		"alike":                           {&hostapi.Facts{}, &hostapi.Facts{}, nil},
		"both run systemd-resolved":       {&hostapi.Facts{Resolved: true}, &hostapi.Facts{Resolved: true}, nil},
		"only the first does":             {&hostapi.Facts{}, &hostapi.Facts{Resolved: true}, &plain},
		"only this one does":              {&hostapi.Facts{Resolved: true}, &hostapi.Facts{}, &other},
		"it has no file":                  {&hostapi.Facts{ResolvConfMissing: true}, &hostapi.Facts{}, &none},
		"neither has a file":              {&hostapi.Facts{ResolvConfMissing: true}, &hostapi.Facts{ResolvConfMissing: true}, &none},
		"the first is not known":          {&hostapi.Facts{Resolved: true}, nil, nil},
		"no file, and no first one known": {&hostapi.Facts{ResolvConfMissing: true}, nil, &none},
	} {
		t.Run(name, func(t *testing.T) {
			got := KubeletFile(test.host, test.first)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("it is told %v, want %v", got, test.want)
			}
		})
	}
}

func TestClusterDNSForwardsToWhoCanAnswer(t *testing.T) {
	with, without := &hostapi.Facts{Nameservers: []string{"192.0.2.53"}}, &hostapi.Facts{}
	for name, test := range map[string]struct {
		upstreams []string
		kubelet   string
		facts     map[string]*hostapi.Facts
		want      string
		unknown   bool
	}{
		"to the node's name servers where all hosts have some": {facts: map[string]*hostapi.Facts{"a": with, "b": with}},
		"to the node's name servers where one host has some":   {facts: map[string]*hostapi.Facts{"a": without, "b": with}},
		"to nobody where no host has any":                      {facts: map[string]*hostapi.Facts{"a": without, "b": without}, want: "none"},
		"to whom the spec names":                               {upstreams: []string{"192.0.2.1", "192.0.2.2:5353"}, facts: map[string]*hostapi.Facts{"a": without, "b": without}, want: "192.0.2.1 192.0.2.2:5353"},
		"to the file that an override names":                   {kubelet: `{"resolvConf": "/etc/resolv.kubelet"}`, facts: map[string]*hostapi.Facts{"a": without, "b": without}},
		"as before when a host is not known":                   {facts: map[string]*hostapi.Facts{"a": without}, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &desired.Cluster{Hosts: []desired.Host{{Name: "a"}, {Name: "b"}}}
			if test.upstreams != nil {
				c.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: test.upstreams}
			}
			if test.kubelet != "" {
				c.Kubelet = &runtime.RawExtension{Raw: []byte(test.kubelet)}
			}
			got, known := ForwardingOf(c, test.facts)
			if known == test.unknown || (known && got.String() != test.want) {
				t.Errorf("it is %q, known %v", got, known)
			}
		})
	}
}

// kubeadmCorefile is what kubeadm v1.36 writes.
const kubeadmCorefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

func TestOnlyTheForwardingOfACorefileChanges(t *testing.T) {
	const block = "    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n"
	without := strings.Replace(kubeadmCorefile, block, "", 1)
	servers := strings.Replace(kubeadmCorefile, "/etc/resolv.conf", "192.0.2.1 192.0.2.2", 1)
	// A zone of its own before, which forwards elsewhere and is left alone; a comment; the plugin without options.
	const own = "example.com:53 {\n  forward . 198.51.100.1\n}\n. {\n  # forward . 203.0.113.1\n  forward . /etc/resolv.conf\n  cache\n}\n"
	for name, test := range map[string]struct {
		corefile string
		to       Forwarding
		want     string
	}{
		"to nobody":                            {kubeadmCorefile, Forwarding{}, without},
		"to servers":                           {kubeadmCorefile, Forwarding{"192.0.2.1", "192.0.2.2"}, servers},
		"from servers back to the node's":      {servers, nil, kubeadmCorefile},
		"from nobody to nobody":                {without, Forwarding{}, without},
		"to where it forwards already":         {servers, Forwarding{"192.0.2.1", "192.0.2.2"}, servers},
		"of the block for all names alone":     {own, Forwarding{"192.0.2.1"}, strings.Replace(own, "/etc/resolv.conf", "192.0.2.1", 1)},
		"of the block for all names to nobody": {own, Forwarding{}, strings.Replace(own, "  forward . /etc/resolv.conf\n", "", 1)},
		"from nobody to the node's": {
			without, nil, strings.Replace(without, "    loadbalance\n", "    loadbalance\n"+block, 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetForwarding(test.corefile, test.to)
			if err != nil || got != test.want {
				t.Errorf("got %v\n%s", err, got)
			}
		})
	}
	for _, corefile := range []string{"", "example.com {\n forward . 192.0.2.1\n}\n", ". {\n  forward . 192.0.2.1 {\n"} {
		if _, err := SetForwarding(corefile, Forwarding{}); err == nil {
			t.Errorf("%q was changed", corefile)
		}
	}
}

func TestForwardingToTheNodeIsSeen(t *testing.T) {
	for corefile, want := range map[string]bool{
		kubeadmCorefile: true, strings.Replace(kubeadmCorefile, "/etc/resolv.conf", "192.0.2.1", 1): false, ". {\n  cache\n}\n": false, "": false,
	} {
		if ForwardsToNode(corefile) != want {
			t.Errorf("it is not %v for\n%s", want, corefile)
		}
	}
}
