package firewall

import (
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// apart moves the test's thread into a network namespace of its own, which ends with it.
func apart(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it needs root")
	}
	// Never unlocked: the thread ends with the test's goroutine, and the namespace with it.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("it needs a network namespace: %v", err)
	}
}

func accept(matches ...api.FirewallMatch) api.FirewallRule {
	return api.FirewallRule{If: matches, Verdict: api.FirewallAccept}
}

func is(field string, values ...string) api.FirewallMatch {
	return api.FirewallMatch{Field: field, Values: values}
}

var (
	ipv4 = is(api.FirewallFamily, "4")
	tcp  = is(api.FirewallProtocol, "6")
)

func TestWhatNftWroteIsRead(t *testing.T) {
	program, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("it needs nft to make rules")
	}
	for name, test := range map[string]struct {
		rule string
		want []api.FirewallRule
	}{
		"established connections": {"ct state established,related accept", []api.FirewallRule{accept(is(api.FirewallState, "established", "related"))}},
		"states in a map": {"ct state vmap { established : accept, invalid : drop }", []api.FirewallRule{
			{If: []api.FirewallMatch{is(api.FirewallState, "invalid")}, Verdict: api.FirewallDrop},
			accept(is(api.FirewallState, "established")), {},
		}},
		"an interface":               {"iifname \"lo\" accept", []api.FirewallRule{accept(is(api.FirewallIn, "lo"))}},
		"an interface by its number": {"iif \"lo\" accept", []api.FirewallRule{accept(is(api.FirewallIn, "lo"))}},
		"interfaces by a pattern":    {"oifname \"cni*\" accept", []api.FirewallRule{accept(is(api.FirewallOut, "cni*"))}},
		"another interface":          {"iifname != \"eth0\" drop", []api.FirewallRule{{If: []api.FirewallMatch{{Field: api.FirewallIn, Not: true, Values: []string{"eth0"}}}, Verdict: api.FirewallDrop}}},
		"one port":                   {"tcp dport 22 accept", []api.FirewallRule{accept(tcp, is(api.FirewallPort, "22-22"))}},
		"ports in a set":             {"tcp dport { 22, 80 } accept", []api.FirewallRule{accept(tcp, is(api.FirewallPort, "22-22", "80-80"))}},
		"ranges in a set":            {"tcp dport { 22, 6443-6444 } accept", []api.FirewallRule{accept(tcp, is(api.FirewallPort, "22-22", "6443-6444"))}},
		"a range of ports":           {"tcp dport 1000-2000 accept", []api.FirewallRule{accept(tcp, is(api.FirewallPort, "1000-65535"), is(api.FirewallPort, "0-2000"))}},
		"a source":                   {"ip saddr 192.0.2.7 accept", []api.FirewallRule{accept(ipv4, is(api.FirewallSource, "192.0.2.7-192.0.2.7"))}},
		"a network of bytes":         {"ip saddr 192.0.2.0/24 accept", []api.FirewallRule{accept(ipv4, is(api.FirewallSource, "192.0.2.0-192.0.2.255"))}},
		"a network of bits":          {"ip daddr 192.0.2.64/26 accept", []api.FirewallRule{accept(ipv4, is(api.FirewallDestination, "192.0.2.64-192.0.2.127"))}},
		"networks in a set":          {"ip saddr { 192.0.2.0/25, 198.51.100.1 } accept", []api.FirewallRule{accept(ipv4, is(api.FirewallSource, "192.0.2.0-192.0.2.127", "198.51.100.1-198.51.100.1"))}},
		"a refusal":                  {"reject with icmpx admin-prohibited", []api.FirewallRule{{Verdict: api.FirewallDrop}}},
		"a note and a number":        {"counter log prefix \"x\" drop", []api.FirewallRule{{Verdict: api.FirewallDrop}}},
		"another chain":              {"jump other", []api.FirewallRule{{Verdict: api.FirewallJump, Chain: "other"}}},
		"a limit":                    {"limit rate 5/second accept", []api.FirewallRule{{Unclear: true, Verdict: api.FirewallAccept}}},
		"a mark":                     {"meta mark 0x1 accept", []api.FirewallRule{{Unclear: true, Verdict: api.FirewallAccept}}},
	} {
		t.Run(name, func(t *testing.T) {
			apart(t)
			text := "table inet guard {\n chain other { }\n chain unused { }\n chain in { type filter hook input priority 0; policy drop; " + test.rule + "\n }\n chain nat { type nat hook output priority 0;\n }\n}\n" +
				"table ip kube-proxy {\n chain filter-input { type filter hook input priority 0; policy drop;\n }\n}\n"
			load := exec.Command(program, "-f", "-")
			load.Stdin = strings.NewReader(text)
			if out, err := load.CombinedOutput(); err != nil {
				t.Skipf("nft does not work here: %v: %s", err, out)
			}
			tables, err := Read()
			if err != nil {
				t.Fatal(err)
			}
			if len(tables) != 1 || tables[0].Family != "inet" || tables[0].Name != "guard" {
				t.Fatalf("the tables are %+v", tables)
			}
			base := tables[0].Chains[0]
			if base.Name != "in" || base.Hook != "input" || !base.Drops {
				t.Errorf("the base chain is %+v", base)
			}
			if !reflect.DeepEqual(base.Rules, test.want) {
				t.Errorf("the rules are\n%+v, want\n%+v", base.Rules, test.want)
			}
			wantChains := 1
			if test.want[0].Verdict == api.FirewallJump {
				wantChains = 2
			}
			if len(tables[0].Chains) != wantChains {
				t.Errorf("the chains are %+v", tables[0].Chains)
			}
		})
	}
}

func TestWhatIptablesWroteIsRead(t *testing.T) {
	program, err := exec.LookPath("iptables-nft")
	if err != nil {
		t.Skip("it needs iptables-nft to make rules")
	}
	for name, test := range map[string]struct {
		args string
		want api.FirewallRule
	}{
		"a port":                  {"-p tcp -m tcp --dport 22 -j ACCEPT", accept(tcp, is(api.FirewallPort, "22-22"))},
		"a port of UDP":           {"-p udp -m udp --dport 8472 -j ACCEPT", accept(is(api.FirewallProtocol, "17"), is(api.FirewallPort, "8472-8472"))},
		"several ports":           {"-p tcp -m multiport --dports 22,6443:6444 -j ACCEPT", accept(tcp, is(api.FirewallPort, "22-22", "6443-6444"))},
		"established connections": {"-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", accept(is(api.FirewallState, "established", "related"))},
		"a comment":               {"-i lo -m comment --comment text -j ACCEPT", accept(is(api.FirewallIn, "lo"))},
		"a network":               {"-s 192.0.2.0/24 -j ACCEPT", accept(is(api.FirewallSource, "192.0.2.0-192.0.2.255"))},
		"a refusal":               {"-j REJECT", api.FirewallRule{Verdict: api.FirewallDrop}},
		"the owner of a socket":   {"-m mark --mark 1 -j ACCEPT", api.FirewallRule{Unclear: true, Verdict: api.FirewallAccept}},
	} {
		t.Run(name, func(t *testing.T) {
			apart(t)
			for _, args := range []string{"-P INPUT DROP", "-A INPUT " + test.args} {
				if out, err := exec.Command(program, strings.Fields(args)...).CombinedOutput(); err != nil {
					t.Skipf("iptables-nft does not work here: %v: %s", err, out)
				}
			}
			tables, err := Read()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range tables[0].Chains {
				if c.Name != "INPUT" {
					continue
				}
				if !c.Drops || len(c.Rules) != 1 || !reflect.DeepEqual(c.Rules[0], test.want) {
					t.Errorf("the chain is\n%+v, want the rule\n%+v", c, test.want)
				}
				return
			}
			t.Errorf("the tables are %+v", tables)
		})
	}
}
