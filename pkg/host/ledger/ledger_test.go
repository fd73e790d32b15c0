package ledger_test

import (
	"errors"
	"os"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func open(t *testing.T, s *sys.System) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newSystem(t *testing.T) *sys.System {
	t.Helper()
	s := &sys.System{Root: t.TempDir()}
	if err := os.MkdirAll(s.Path("/proc/self"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path("/proc/self/mountinfo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.State(), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheFirstRecordOfAThingStays(t *testing.T) {
	s := newSystem(t)
	l := open(t, s)
	for _, previous := range []string{"0", "1"} {
		if err := l.Record(ledger.Entry{Type: ledger.TypeSysctl, Name: "k", Previous: previous}); err != nil {
			t.Fatal(err)
		}
	}
	entries := open(t, s).Entries()
	if len(entries) != 1 || entries[0].Previous != "0" {
		t.Errorf("the ledger on disk says %+v", entries)
	}
}

func TestAHostHasOneOwner(t *testing.T) {
	s := newSystem(t)
	if err := open(t, s).Claim(api.Owner{ClusterName: "a", ClusterUID: "1"}); err != nil {
		t.Fatal(err)
	}
	l := open(t, s)
	if err := l.Claim(api.Owner{ClusterName: "a", ClusterUID: "1"}); err != nil {
		t.Error(err)
	}
	var owned *api.OwnedByOtherError
	if err := l.Claim(api.Owner{ClusterName: "a", ClusterUID: "2"}); !errors.As(err, &owned) {
		t.Errorf("a cluster of the same name: %v", err)
	}
	if err := l.Claim(api.Owner{}); err == nil {
		t.Error("nobody could claim it")
	}
}

func TestADamagedOrNewerLedgerIsRefusedNotOverwritten(t *testing.T) {
	for name, content := range map[string]string{"damaged": "{", "newer": `{"version":99}`} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t)
			if err := os.WriteFile(s.State("ledger.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ledger.Open(s); err == nil {
				t.Error("it was opened")
			}
		})
	}
}

func TestATreeOwnsWhatIsBelowItAndNotItsNeighbours(t *testing.T) {
	l := open(t, newSystem(t))
	if err := l.Record(ledger.Entry{Type: ledger.TypeTree, Name: "/var/lib/etcd"}, ledger.Entry{Type: ledger.TypeDir, Name: "/etc/kw", Created: true}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/var/lib/etcd": true, "/var/lib/etcd/member/wal": true, "/var/lib/etcd2": false, "/etc/kw": true, "/etc/kw/theirs": false} {
		if got := l.Owns(path); got != want {
			t.Errorf("Owns(%s) = %v", path, got)
		}
	}
}

func TestForgottenEntriesAreGoneAndTheRestStays(t *testing.T) {
	s := newSystem(t)
	l := open(t, s)
	a, b := ledger.Entry{Type: ledger.TypeFile, Name: "/a", Created: true}, ledger.Entry{Type: ledger.TypeFile, Name: "/b", Created: true}
	if err := l.Record(a, b); err != nil {
		t.Fatal(err)
	}
	if err := l.Forget([]ledger.Entry{a}); err != nil {
		t.Fatal(err)
	}
	l = open(t, s)
	if l.Owns("/a") || !l.Owns("/b") {
		t.Errorf("left: %+v", l.Entries())
	}
}
