package server_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

func backupOf(name string, edit ...func(*api.Backup)) api.Resource {
	b := &api.Backup{Name: name, Recipient: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}
	for _, e := range edit {
		e(b)
	}
	return api.Resource{ID: "backup", Backup: b}
}

func TestABackupIsTakenOnceAndStaysWhenTheHostIsReset(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := backupOf("before-upgrade")
	if v := check(t, s, r); v.State != api.Needed || v.Why != "it has not been taken yet" {
		t.Errorf("before: %+v", v)
	}
	if vs := apply(t, s, r); !vs[0].Changed {
		t.Errorf("%+v", vs)
	}
	if vs := apply(t, s, r); vs[0].Changed || h.System.Starts("etcd-backup") != 1 {
		t.Errorf("again: %+v, started %d times", vs, h.System.Starts("etcd-backup"))
	}
	taken := h.Read(r.Backup.Path())
	h.Write(t, r.Backup.Path(), "damaged")
	if v := check(t, s, r); v.State != api.Needed {
		t.Errorf("damaged: %+v", v)
	}
	if vs := apply(t, s, r); !vs[0].Changed || h.Read(r.Backup.Path()) != taken {
		t.Errorf("taken again: %+v", vs)
	}
	h.Write(t, "/var/lib/kubewright/etcd-backup.tmp/snapshot.db", "plaintext of a run that was killed")
	report, err := s.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	kept := ""
	for _, i := range report.Items {
		if i.Action == api.ActionKeep {
			kept = i.Target
		}
	}
	if h.Read(r.Backup.Path()) != taken || !strings.HasPrefix(kept, "/var/lib/kubewright/etcd-backups") || !strings.Contains(kept, "before-upgrade.tar.age") {
		t.Errorf("after the reset: %q, reported as %q", h.Read(r.Backup.Path()), kept)
	}
	if h.Read("/var/lib/kubewright/etcd-backup.tmp/snapshot.db") != "" {
		t.Error("the plaintext is still there")
	}
	f, err := h.Connect(t, "op-2", nil).Facts(t.Context())
	if err != nil || f.Owner != nil || len(f.Paths) != 0 {
		t.Errorf("preflight would find %+v, %v", f.Paths, err)
	}
}

func TestANewSessionRemovesThePlaintextOfAKilledBackup(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/var/lib/kubewright/etcd-backup.tmp/snapshot.db", "plaintext")
	lease(t, h.Connect(t, "op", nil))
	if h.Read("/var/lib/kubewright/etcd-backup.tmp/snapshot.db") != "" {
		t.Error("the plaintext is still there")
	}
}

func TestABackupInsideWhatAResetDeletesIsRefused(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	tree := api.Resource{ID: "dir", Dir: &api.Dir{Path: "/var/lib/etcd", Purge: true}}
	apply(t, s, tree)
	for _, dir := range []string{"/var/lib/etcd/backups", "/var/lib/kubewright/backups", "/var/lib/kubewright/runs", "/srv", "relative", "/a/../b"} {
		r := backupOf("b", func(b *api.Backup) { b.Dir = dir })
		_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
		var re *api.ResourceError
		var invalid *api.InvalidError
		if !errors.As(err, &invalid) && (!errors.As(err, &re) || re.Reason != api.ReasonInvalid) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
