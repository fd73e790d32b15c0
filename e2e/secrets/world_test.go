//go:build e2e

package secrets

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

const (
	clusterName = "hunted"
	version     = "v1.36.3"
	sudoUser    = "pw"
)

// world is two hosts that record, the program, and the hunt.
type world struct {
	*kubewright.Installation
	fleet *hosts.Fleet
	hunt  *hunt
	vault *vault
	known *known
	// decoys lie in the places, by the place.
	decoys map[place]string
	// encrypted is the private key for the control plane, which passphrase opens.
	encrypted, passphrase string
	// password of the worker's user is what the worker, and nobody else, is told.
	password string
	// before are the files of hosts that held a private key from the beginning.
	before map[file]bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	i, err := kubewright.Built(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	i.Dir, i.Name = t.TempDir(), clusterName
	w := &world{
		Installation: i,
		hunt:         newHunt(), vault: &vault{data: map[string][]byte{}}, known: &known{at: map[string]map[file]bool{}},
		decoys: map[place]string{}, password: rand.Text(),
	}
	for _, p := range append(places(), files) {
		// In lower case it may be part of a name.
		w.decoys[p] = "decoy-" + strings.ToLower(rand.Text())
	}
	users := []hosts.User{
		{Name: "ops", Key: true, Sudo: hosts.SudoNoPassword},
		{Name: sudoUser, Password: w.password, Sudo: hosts.SudoPassword},
	}
	if w.fleet, err = hosts.Up(t.Context(), hosts.Options{Name: "secrets", Count: 2, Users: users, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := w.fleet.Down(context.Background()); err != nil {
			t.Errorf("take the fleet down: %v", err)
		}
	})
	w.plantCredentials(t)
	must(t, installRecorder(t.Context(), w.fleet))
	w.before = w.filesWithKeys(t)
	return w
}

// plantCredentials makes what the hosts are logged in to with, and knows it.
func (w *world) plantCredentials(t *testing.T) {
	t.Helper()
	plain, err := os.ReadFile(w.fleet.KeyPath)
	must(t, err)
	must(t, w.known.take("the SSH key", plain))
	key, err := ssh.ParseRawPrivateKey(plain)
	must(t, err)
	w.passphrase = rand.Text()
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(w.passphrase))
	must(t, err)
	w.encrypted = string(pem.EncodeToMemory(block))
	// All but the first lines, which say how it is encrypted and whose key it is.
	for _, line := range strings.Split(w.encrypted, "\n")[5:] {
		if len(line) >= 32 && !strings.HasPrefix(line, "-") {
			w.known.plant("the encrypted SSH key", []byte(line))
		}
	}
	w.known.plant("the SSH key's passphrase", []byte(w.passphrase))
	w.known.plant(passwordName, []byte(w.password))
}

// describe writes the user's file.
func (w *world) describe(t *testing.T, edit fixture.Edit) {
	t.Helper()
	must(t, w.Describe(w.fleet, fixture.Options{
		Version: version, ControlPlanes: []string{controlPlane}, Workers: []string{worker}, User: "ops",
		Edit: fixture.All(
			fixture.Set("Secret", "", map[string]any{"ssh-privatekey": w.encrypted, "passphrase": w.passphrase}, "stringData"),
			fixture.Set("Host", worker, sudoUser, "spec", "user"),
			fixture.Set("Host", worker, "password", "spec", "credentialsRef", "name"),
			edit,
		),
	}))
	second, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "password", "labels": map[string]any{"kubewright.io/credentials": "true"}},
		"stringData": map[string]any{"password": w.password, "sudo-password": w.password},
	})
	must(t, err)
	described, err := os.ReadFile(w.ClusterFile())
	must(t, err)
	must(t, os.WriteFile(w.ClusterFile(), append(append(described, "---\n"...), second...), 0o600))
}

// passwordName is what the worker's password is called among secrets.
const passwordName = "the worker's password"

// call runs the program, notes what it prints and logs, and each object of its API server meanwhile.
func (w *world) call(t *testing.T, want int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		// Commands that start no API server end before one is found.
		if err := watchFile(ctx, w.hunt, w.vault, "standalone", filepath.Join(w.StateDir(), "admin.kubeconfig"), "kubewright.io"); ctx.Err() == nil {
			t.Errorf("watch the API server of kubewright %s: %v", args[0], err)
		}
	})
	began := time.Now()
	out, err := w.Command(t.Context(), args...).CombinedOutput()
	cancel()
	watching.Wait()
	w.hunt.add(printed, "kubewright "+args[0], out)
	w.readLogs(t)
	t.Logf("kubewright %s took %s", args[0], time.Since(began).Round(100*time.Millisecond))
	if code := kubewright.ExitCode(err); code != want {
		t.Log(w.fleet.Evidence(t.Context()))
		t.Fatalf("kubewright %s ended with code %d, want %d\n%s", args[0], code, want, out)
	}
	return string(out)
}

// readLogs notes what is in the state directory's logs.
func (w *world) readLogs(t *testing.T) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.StateDir(), "logs", "*"))
	must(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(t, err)
		w.hunt.add(logged, filepath.Base(path), text)
	}
}

// withFile has the program's arguments for the user's file and the bundle.
func (w *world) withFile(command string, args ...string) []string {
	return append([]string{command, "-f", w.ClusterFile(), "--bundle", w.Bundle}, args...)
}

// onHost runs a script on a host; that it comes through standard input keeps it out of this machine's list of processes.
func (w *world) onHost(t *testing.T, host, script string) {
	t.Helper()
	if _, err := w.fleet.ExecInput(t.Context(), host, strings.NewReader(script), "sh"); err != nil {
		t.Fatal(err)
	}
}

// readLook notes what hosts received while a phase lasted that only looked.
func (w *world) readLook(t *testing.T, phase string) {
	t.Helper()
	w.eachReceived(t, phase, func(host, name string, content []byte) {
		w.hunt.add(looks, fmt.Sprintf("%s of what %s received during %s", name, host, phase), content)
	})
}

// eachReceived calls visit with each piece that a host received in a phase, of which there must be some on every host.
func (w *world) eachReceived(t *testing.T, phase string, visit func(host, name string, content []byte)) {
	t.Helper()
	for _, host := range w.fleet.Hosts() {
		pieces := 0
		must(t, received(t.Context(), w.fleet, host.Name, phase, func(name string, content []byte) error {
			pieces++
			visit(host.Name, name, content)
			return nil
		}))
		if pieces == 0 {
			t.Errorf("%s received nothing during %s", host.Name, phase)
		}
	}
}

// ofOthers are files that may hold private keys which nobody else knows: programs and layers of images, in which the words that one begins
// with stand, and what pods make for themselves, as metrics-server does.
var ofOthers = regexp.MustCompile(`^/var/lib/(containerd/io\.containerd\.|kubelet/pods/)`)

// filesWithKeys lists the files of hosts that hold a private key in PEM, except for those of others. What is known is searched for there too.
func (w *world) filesWithKeys(t *testing.T) map[file]bool {
	t.Helper()
	finder := planted.NewFinder(planted.PrivateKey())
	all := map[file]bool{}
	for _, host := range w.fleet.Hosts() {
		must(t, walk(t.Context(), w.fleet, host.Name, func(path string, content *os.File) error {
			if ofOthers.MatchString(path) || isProgram(content) {
				return nil
			}
			found, err := finder.InStream(content)
			if len(found) > 0 {
				all[file{host.Name, path}] = true
			}
			return err
		}))
	}
	return all
}

func isProgram(content io.ReaderAt) bool {
	magic := make([]byte, 4)
	n, _ := content.ReadAt(magic, 0) // a file that cannot be read is no program, and is read again
	return string(magic[:n]) == "\x7fELF"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
