package standalone_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/standalone"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// childVariable makes this test program the child that is killed; it names the state directory.
const childVariable = "KUBEWRIGHT_TEST_STANDALONE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := runChild(dir); err != nil {
			fmt.Println("child failed:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runChild starts a control plane, says so, and waits to be killed.
func runChild(path string) error {
	ctx := context.Background()
	programs, err := assets(ctx)
	if err != nil {
		return err
	}
	dir, err := standalone.OpenDir(path)
	if err != nil {
		return err
	}
	c, err := standalone.Start(ctx, standalone.Options{Dir: dir, Programs: programs, Command: "up"})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return c.Wait(ctx)
}

func assets(ctx context.Context) (standalone.Programs, error) {
	dir, err := testenv.Assets(ctx)
	if err != nil {
		return standalone.Programs{}, err
	}
	return standalone.Programs{Etcd: filepath.Join(dir, "etcd"), APIServer: filepath.Join(dir, "kube-apiserver")}, nil
}

func start(t *testing.T, dir *standalone.Dir) *standalone.ControlPlane {
	t.Helper()
	programs, err := assets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c, err := standalone.Start(t.Context(), standalone.Options{Dir: dir, Programs: programs, Command: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the control plane answered and served our kinds after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return c
}

func open(t *testing.T, path string) *standalone.Dir {
	t.Helper()
	dir, err := standalone.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// killable starts the control plane in a child of its own and returns it once it is ready.
func killable(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^$")
	child.Env = append(os.Environ(), childVariable+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return child
		}
		t.Log(lines.Text())
	}
	t.Fatal("the child ended before it was ready")
	return nil
}

func TestDataSurvivesKillingTheProcessAndItsChildrenDieWithIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	child := killable(t, path)
	dir := open(t, path)

	programs, err := assets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = standalone.Start(t.Context(), standalone.Options{Dir: dir, Programs: programs, Command: "status"})
	var locked *standalone.LockedError
	if !errors.As(err, &locked) || locked.PID != child.Process.Pid || locked.Command != "up" {
		t.Fatalf("a second start got %v, want a LockedError that names process %d", err, child.Process.Pid)
	}

	config, err := dir.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}, StringData: map[string]string{"a": "b"}}
	if err := clientFor(t, config).Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	oldAddress := strings.TrimPrefix(config.Host, "https://")

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()

	c := start(t, dir)
	var kept corev1.Secret
	if err := clientFor(t, c.Config()).Get(t.Context(), client.ObjectKeyFromObject(secret), &kept); err != nil {
		t.Fatalf("the Secret did not survive: %v", err)
	}
	if c.Config().Host != config.Host {
		if conn, err := net.Dial("tcp", oldAddress); err == nil {
			_ = conn.Close()
			t.Errorf("the API server of the killed process still listens on %s", oldAddress)
		}
	}
}

func TestNobodyGetsInWithoutTheAdministratorsCertificate(t *testing.T) {
	dir := open(t, filepath.Join(t.TempDir(), "state"))
	c := start(t, dir)
	if err := clientFor(t, c.Config()).List(t.Context(), &v1alpha1.ClusterList{}); err != nil {
		t.Fatalf("the administrator cannot list Clusters: %v", err)
	}
	anonymous := rest.AnonymousClientConfig(c.Config())
	if err := clientFor2(anonymous); err == nil {
		t.Error("an anonymous request to /readyz was answered")
	}
	for _, file := range []string{"pki/ca.key", "pki/sa.key", "pki/apiserver.key", "admin.kubeconfig", "logs/etcd.log", "lock"} {
		info, err := os.Stat(filepath.Join(dir.Path(), file))
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", file, info.Mode().Perm())
		}
	}
}

func clientFor2(config *rest.Config) error {
	c, err := rest.UnversionedRESTClientFor(&rest.Config{
		Host: config.Host, TLSClientConfig: config.TLSClientConfig,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	})
	if err != nil {
		return err
	}
	return c.Get().AbsPath("/readyz").Do(context.Background()).Error()
}

func TestAProgramThatEndsIsAnErrorWithItsLastWords(t *testing.T) {
	dir := open(t, filepath.Join(t.TempDir(), "state"))
	programs, err := assets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs.APIServer = filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(programs.APIServer, []byte("#!/bin/sh\necho I cannot go on >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = standalone.Start(t.Context(), standalone.Options{Dir: dir, Programs: programs})
	var ended *standalone.ProgramError
	if !errors.As(err, &ended) || ended.Program != "kube-apiserver" || !strings.Contains(ended.Tail, "I cannot go on") {
		t.Fatalf("got %v, want a ProgramError of kube-apiserver with its last words", err)
	}
	start(t, dir) // the directory was given back, and what is there does not stand in the way
}

// Data of an etcd killed at its birth looks like this: there, and of no use.
func TestDataOfAnEtcdThatNeverBecameReadyIsDropped(t *testing.T) {
	dir := open(t, filepath.Join(t.TempDir(), "state"))
	wal := filepath.Join(dir.Path(), "etcd", "data", "member", "wal")
	if err := os.MkdirAll(wal, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(wal, "0000000000000000-0000000000000000.wal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

func TestADirectoryThatOthersCanReadIsRefused(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	_, err := standalone.OpenDir(path)
	if err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Fatalf("got %v, want a refusal that says what to do", err)
	}
}

func TestADirectoryWithoutStateIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, err := standalone.ExistingDir(path); !errors.Is(err, standalone.ErrNoState) {
		t.Fatalf("got %v, want ErrNoState", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("looking for state made the directory")
	}
}
