package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/backup"
	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// controlPlane is a directory that stands for a control plane: certificates, manifests, and programs in etcd's place.
type controlPlane struct {
	*sys.System
	identity *age.X25519Identity
	lines    []string
	free     int64
}

const (
	saveSnapshot = `[ "$5" = snapshot ] || exec echo '[{"Endpoint":"x","Status":{"header":{"cluster_id":17,"member_id":18,"revision":40},"version":"3.6.8","dbSize":1024}}]'
cp "ROOT/fixture.db" "$7"`
	goodStatus = `echo '{"hash":7,"revision":41,"totalKey":9,"totalSize":1024,"version":"3.6.0"}'`
)

func newControlPlane(t testing.TB, root string) *controlPlane {
	t.Helper()
	c := &controlPlane{System: &sys.System{Root: root, Runner: sys.Exec{}, Now: time.Now}, free: 1 << 40}
	var err error
	if c.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	for p, content := range map[string]string{
		"/proc/sys/kernel/hostname":                          "cp1\n",
		"/etc/kubernetes/pki/ca.key":                         "the cluster's key",
		"/etc/kubernetes/pki/etcd/ca.crt":                    "etcd's ca",
		"/etc/kubernetes/pki/etcd/healthcheck-client.crt":    "client",
		"/etc/kubernetes/enc/config.yaml":                    "secretbox",
		"/etc/kubernetes/manifests/kube-apiserver.yaml":      "  - command:\n    - kube-apiserver\n    - --encryption-provider-config=/etc/kubernetes/enc/config.yaml\n    image: registry.k8s.io/kube-apiserver:v1.36.3\n",
		"/var/lib/kubewright/etcd-backups/keepme":            "somebody's",
		"/var/lib/kubewright/etcd-backups/foreign.tar.age":   "the last cluster's",
		"/var/lib/kubewright/etcd-backup.tmp/snapshot.db":    "left by a killed run",
		"/var/lib/kubewright/etcd-backups/.kubewright-1.tmp": "half, left by a killed run",
	} {
		c.write(t, p, content, 0o644)
	}
	db := bytes.Repeat([]byte("database"), 128)
	sum := sha256.Sum256(db)
	c.write(t, "/fixture.db", string(append(db, sum[:]...)), 0o644)
	c.program(t, "etcdctl", saveSnapshot)
	c.program(t, "etcdutl", goodStatus)
	return c
}

func (c *controlPlane) write(t testing.TB, p, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.Path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path(p), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// program puts a script in the place of one of etcd's programs. etcdctl gets 4 flags for the connection first.
func (c *controlPlane) program(t testing.TB, name, script string) {
	t.Helper()
	c.write(t, "/usr/local/bin/"+name, "#!/bin/sh\n"+strings.ReplaceAll(script, "ROOT", c.Root)+"\n", 0o755)
}

func (c *controlPlane) backup(name string, keep int) *api.Backup {
	return &api.Backup{Name: name, Recipient: c.identity.Recipient().String(), Keep: keep}
}

func (c *controlPlane) taker() *backup.Taker {
	return &backup.Taker{
		Sys: c.System, Owner: api.Owner{ClusterName: "c", ClusterUID: "uid"},
		Free: func(string) (int64, uint64, error) { return c.free, 1, nil },
		Say:  func(line string) { c.lines = append(c.lines, line) },
	}
}

// open decrypts a backup and reads its archive, in the order of its members.
func (c *controlPlane) open(t *testing.T, b *api.Backup) (names []string, contents map[string]string) {
	t.Helper()
	f, err := os.Open(c.Path(b.Path()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	plain, err := age.Decrypt(f, c.identity)
	if err != nil {
		t.Fatal(err)
	}
	contents = map[string]string{}
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		contents[h.Name] = string(data)
	}
}

// files lists what lies in the directory of backups and in the place for plaintext.
func (c *controlPlane) files(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"etcd-backups", "etcd-backup.tmp"} {
		entries, err := os.ReadDir(c.State(dir))
		if err != nil && !sys.Missing(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
	}
	return all
}

func TestABackupHoldsEverythingARestoreNeedsAndOnlyTheRecipientCanReadIt(t *testing.T) {
	c := newControlPlane(t, t.TempDir())
	b := c.backup("before-upgrade", 0)
	if err := c.taker().Take(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	names, contents := c.open(t, b)
	want := []string{
		"backup.json", "etc/kubernetes/pki/ca.key", "etc/kubernetes/pki/etcd/ca.crt", "etc/kubernetes/pki/etcd/healthcheck-client.crt",
		"etc/kubernetes/enc/config.yaml", "snapshot.db",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the archive holds %q", names)
	}
	fixture, err := os.ReadFile(c.Path("/fixture.db"))
	if err != nil || contents["snapshot.db"] != string(fixture) || contents["etc/kubernetes/enc/config.yaml"] != "secretbox" {
		t.Errorf("the archive holds other content, %v", err)
	}
	var m backup.Manifest
	if err := json.Unmarshal([]byte(contents["backup.json"]), &m); err != nil {
		t.Fatal(err)
	}
	if m.Cluster.ClusterUID != "uid" || m.Host != "cp1" || m.MemberID != "12" || m.Revision != 41 || m.Keys != 9 || m.EtcdVersion != "3.6.8" ||
		!slices.Equal(m.Images, []string{"registry.k8s.io/kube-apiserver:v1.36.3"}) {
		t.Errorf("the manifest says %+v", m)
	}
	for _, n := range names[1:] {
		sum := sha256.Sum256([]byte(contents[n]))
		if m.Files[n] != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("the manifest has another digest for %s", n)
		}
	}
	raw, err := os.ReadFile(c.Path(b.Path()))
	if err != nil || bytes.Contains(raw, []byte("the cluster's key")) || bytes.Contains(raw, []byte("database")) {
		t.Errorf("the file holds plaintext, %v", err)
	}
	if fi, err := os.Stat(c.Path(b.Path())); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", fi.Mode(), err)
	}
	if files := c.files(t); !slices.Equal(files, []string{"before-upgrade.tar.age", "foreign.tar.age", "keepme"}) {
		t.Errorf("afterwards there are %q", files)
	}
	r, err := backup.ReadReceipt(c.System, b)
	if err != nil || r == nil {
		t.Fatalf("receipt %v, %v", r, err)
	}
	if why, err := r.Differs(c.System, stamp.Open(c.System)); why != "" || err != nil {
		t.Errorf("it differs from its receipt: %s, %v", why, err)
	}
	c.write(t, b.Path(), strings.Repeat("x", len(raw)), 0o600)
	if why, err := r.Differs(c.System, stamp.Open(c.System)); !strings.Contains(why, "not what was written") || err != nil {
		t.Errorf("a damaged one: %q, %v", why, err)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	full, damaged := new(*backup.SpaceError), new(*backup.DamagedError)
	for name, one := range map[string]struct {
		spoil func(t *testing.T, c *controlPlane)
		as    any
		say   string
	}{
		"etcd does not answer": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdctl", "echo context deadline exceeded >&2; exit 1")
		}, say: "context deadline exceeded"},
		"etcdctl fills the disk": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdctl", strings.Replace(saveSnapshot, "cp ", "head -c 9 ", 1)+` > "$7.part"; echo "write $7.part: no space left on device" >&2; exit 1`)
		}, as: full, say: "free some space"},
		"there is too little room": {spoil: func(_ *testing.T, c *controlPlane) { c.free = 64 << 20 }, as: full, say: "has 64 MiB free"},
		"the snapshot is cut off": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdctl", strings.Replace(saveSnapshot, "cp \"ROOT/fixture.db\"", "head -c 600 \"ROOT/fixture.db\" >", 1))
		}, as: damaged, say: "cut off"},
		"a byte of the snapshot is wrong": {spoil: func(t *testing.T, c *controlPlane) {
			data, err := os.ReadFile(c.Path("/fixture.db"))
			if err != nil {
				t.Fatal(err)
			}
			data[100]++
			c.write(t, "/fixture.db", string(data), 0o644)
		}, as: damaged, say: "sum does not fit"},
		"etcdutl finds the database broken": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdutl", "echo snapshot file integrity check failed >&2; exit 1")
		}, as: damaged, say: "integrity"},
		"the snapshot is empty": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdutl", strings.Replace(goodStatus, `"totalKey":9`, `"totalKey":0`, 1))
		}, as: damaged, say: "no keys"},
		"the snapshot is older than etcd": {spoil: func(t *testing.T, c *controlPlane) {
			c.program(t, "etcdutl", strings.Replace(goodStatus, "41", "39", 1))
		}, as: damaged, say: "at 40 before"},
		"the encryption configuration is gone": {spoil: func(t *testing.T, c *controlPlane) {
			if err := os.Remove(c.Path("/etc/kubernetes/enc/config.yaml")); err != nil {
				t.Fatal(err)
			}
		}, say: "enc/config.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newControlPlane(t, t.TempDir())
			one.spoil(t, c)
			err := c.taker().Take(t.Context(), c.backup("b", 0))
			if err == nil || !strings.Contains(err.Error(), one.say) || (one.as != nil && !errors.As(err, one.as)) {
				t.Fatalf("got %v", err)
			}
			for _, f := range c.files(t) {
				if f == "b.tar.age" || strings.HasPrefix(f, "snapshot") {
					t.Errorf("it left %s", f)
				}
			}
		})
	}
}

func TestOnlyTheOldestBackupsOfThisClusterArePruned(t *testing.T) {
	c := newControlPlane(t, t.TempDir())
	day := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	for i := range 4 {
		c.Now = func() time.Time { return day.AddDate(0, 0, i) }
		if err := c.taker().Take(t.Context(), c.backup(fmt.Sprintf("day-%d", i), 2)); err != nil {
			t.Fatal(err)
		}
	}
	if files := c.files(t); !slices.Equal(files, []string{"day-2.tar.age", "day-3.tar.age", "foreign.tar.age", "keepme"}) {
		t.Errorf("there are %q", files)
	}
	c.Now = func() time.Time { return day.AddDate(-1, 0, 0) }
	if err := c.taker().Take(t.Context(), c.backup("clock-set-back", 1)); err != nil {
		t.Fatal(err)
	}
	if files := c.files(t); !slices.Equal(files, []string{"clock-set-back.tar.age", "foreign.tar.age", "keepme"}) {
		t.Errorf("after the clock was set back there are %q", files)
	}
}

func TestABackupOfAnotherClusterIsNotReplaced(t *testing.T) {
	c := newControlPlane(t, t.TempDir())
	var taken *backup.TakenError
	if err := c.taker().Take(t.Context(), c.backup("foreign", 0)); !errors.As(err, &taken) {
		t.Fatalf("got %v", err)
	}
	if data, err := os.ReadFile(c.State("etcd-backups/foreign.tar.age")); err != nil || string(data) != "the last cluster's" {
		t.Errorf("it holds %q, %v", data, err)
	}
}

// TestMain makes the test's own program a backup program, which a test can kill.
func TestMain(m *testing.M) {
	root := os.Getenv("BACKUP_TEST_ROOT")
	if root == "" {
		os.Exit(m.Run())
	}
	taker := &backup.Taker{
		Sys:  &sys.System{Root: root, Runner: sys.Exec{}, Now: time.Now},
		Free: func(string) (int64, uint64, error) { return 1 << 40, 1, nil },
		Say: func(line string) {
			if strings.HasPrefix(line, os.Getenv("BACKUP_TEST_HANG")) {
				fmt.Println(line)
				select {}
			}
		},
	}
	err := taker.Take(context.Background(), &api.Backup{Name: "b", Recipient: os.Getenv("BACKUP_TEST_RECIPIENT"), Keep: 1})
	fmt.Println(err)
}

func TestABackupThatIsKilledAtAnyMomentLeavesNoHalfFileAndTheNextRunNoPlaintext(t *testing.T) {
	for name, hang := range map[string]func(t *testing.T, c *controlPlane) (line string){
		"while etcdctl writes": func(t *testing.T, c *controlPlane) string {
			c.program(t, "etcdctl", strings.Replace(saveSnapshot, "cp ", "head -c 500 ", 1)+` > "$7"; echo > ROOT/reached; exec sleep 600`)
			return "none"
		},
		"while etcdutl reads": func(t *testing.T, c *controlPlane) string {
			c.program(t, "etcdutl", "echo > ROOT/reached; exec sleep 600")
			return "none"
		},
		"when the snapshot is verified": func(*testing.T, *controlPlane) string { return "the snapshot holds" },
		"when the file has its name":    func(*testing.T, *controlPlane) string { return "wrote" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newControlPlane(t, t.TempDir())
			// A program that writes into it waits until the test reads, and the other way round.
			if err := syscall.Mkfifo(c.Path("/reached"), 0o600); err != nil {
				t.Fatal(err)
			}
			line := hang(t, c)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "BACKUP_TEST_ROOT="+c.Root, "BACKUP_TEST_HANG="+line, "BACKUP_TEST_RECIPIENT="+c.identity.Recipient().String())
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line != "none" {
				buf := make([]byte, 100)
				if n, err := out.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), line) {
					t.Fatalf("it said %q, %v", buf[:n], err)
				}
			} else if _, err := os.ReadFile(c.Path("/reached")); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			b := c.backup("b", 1)
			if sys.Exists(c.Path(b.Path())) {
				// Whole, or not there.
				c.open(t, b)
			}
			c.program(t, "etcdctl", saveSnapshot)
			c.program(t, "etcdutl", goodStatus)
			if err := c.taker().Take(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			c.open(t, b)
			if files := c.files(t); !slices.Equal(files, []string{"b.tar.age", "foreign.tar.age", "keepme"}) {
				t.Errorf("there are %q", files)
			}
		})
	}
}
