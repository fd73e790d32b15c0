package netlink

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
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

func TestWhatIptablesMadeIsListedAndRemovedWithoutIt(t *testing.T) {
	program, err := exec.LookPath("iptables-nft")
	if err != nil {
		t.Skip("it needs iptables-nft to make chains")
	}
	apart(t)
	for _, args := range [][]string{
		{"-N", "KUBE-A"}, {"-N", "KUBE-B"}, {"-N", "MINE"}, {"-A", "KUBE-A", "-j", "KUBE-B"},
		{"-A", "OUTPUT", "-m", "comment", "--comment", "the way in", "-j", "KUBE-A"}, {"-A", "OUTPUT", "-j", "MINE"},
	} {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Skipf("iptables-nft does not work here: %v: %s", err, out)
		}
	}
	chains, rules, err := Chains(FamilyIP)
	if err != nil {
		t.Fatal(err)
	}
	output := slices.IndexFunc(chains, func(c Chain) bool { return c.Name == "OUTPUT" })
	if output < 0 || !chains[output].Base || !chains[output].Accepts || chains[output].Table != "filter" {
		t.Errorf("chains %+v", chains)
	}
	way := slices.IndexFunc(rules, func(r Rule) bool { return r.Jump == "KUBE-A" })
	if way < 0 || rules[way].Chain != "OUTPUT" || !bytes.Contains(rules[way].Raw, []byte("the way in")) {
		t.Fatalf("rules %+v", rules)
	}
	removal := Removal{Rules: []Rule{rules[way]}, Chains: []Chain{{Table: "filter", Name: "KUBE-B"}, {Table: "filter", Name: "KUBE-A"}}}
	if err := Remove(FamilyIP, removal); err != nil {
		t.Fatal(err)
	}
	chains, rules, err = Chains(FamilyIP)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(chains, func(c Chain) bool { return c.Name == "KUBE-A" || c.Name == "KUBE-B" }) || len(rules) != 1 || rules[0].Jump != "MINE" {
		t.Errorf("left are chains %+v, rules %+v", chains, rules)
	}
	if err := Remove(FamilyIP, Removal{Tables: []string{"filter"}}); err != nil {
		t.Fatal(err)
	}
	if HasTable(FamilyIP, "filter") {
		t.Error("the table is still there")
	}
	if err := Remove(FamilyIP, removal); err == nil {
		t.Error("what is not there could be removed")
	}
}

func TestAHostWithoutRulesHasNoChains(t *testing.T) {
	apart(t)
	for _, family := range []uint8{FamilyIP, FamilyIP6} {
		chains, rules, err := Chains(family)
		if err != nil || len(chains) != 0 || len(rules) != 0 {
			t.Errorf("family %d: %v, %v, %v", family, chains, rules, err)
		}
	}
}

func TestADamagedAttributeEndsTheList(t *testing.T) {
	for name, b := range map[string][]byte{
		"longer than what is there": {200, 0, 1, 0, 1}, "shorter than its own header": {2, 0, 1, 0}, "cut off": {5, 0}, "empty": nil,
	} {
		if got := attributes(b); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	whole := attr(3, []byte("abc"))
	if got := attributes(append(whole, 9, 9)); text(got[3]) != "abc" {
		t.Errorf("before a damaged one: %v", got)
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(append(attr(1, []byte("x")), attr(2, nil)...))
	f.Fuzz(func(_ *testing.T, b []byte) {
		// What the kernel sends is never trusted to be whole.
		_ = jump(b)
	})
}
