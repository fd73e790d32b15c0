//go:build e2e

package secrets

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

func TestNoSecretIsToldWhereItIsNotMeantToBe(t *testing.T) {
	w := newWorld(t)
	stop := w.sampleProcesses(t)
	w.plantDecoysOnHosts(t)
	w.standalone(t)
	w.managed(t)
	stop()
	must(t, readJournals(t.Context(), w.hunt, w.fleet))
	w.plantMetrics(t)

	must(t, w.known.opened(w.vault))
	w.requireKnown(t)
	for _, p := range places() {
		t.Run(string(p), func(t *testing.T) { w.requireClean(t, p) })
	}
	t.Run("all processes were seen", func(t *testing.T) {
		for _, program := range []string{w.Program, "kube-apiserver", "kubewright-host", "kubeadm", "sudo"} {
			if !w.hunt.has(arguments, program) || !w.hunt.has(environs, program) {
				t.Errorf("no process of %s was seen", program)
			}
		}
	})
}

// requireClean wants that a place holds its decoy and no secret.
func (w *world) requireClean(t *testing.T, p place) {
	t.Helper()
	texts, size := w.hunt.searched(p)
	t.Logf("%d texts, %d bytes held of them", texts, size)
	for _, d := range w.leaks(p) {
		if hits := w.hunt.hits(p, planted.NewFinder(planted.Secret{Name: "the decoy", Value: []byte(d.value)})); !slices.ContainsFunc(hits, func(h hit) bool { return strings.Contains(h.from, d.from) }) {
			t.Errorf("the decoy %s in %s is not found, so nothing would be", d.value, d.from)
		}
	}
	for _, hit := range w.hunt.hits(p, planted.NewFinder(append(w.known.secrets, planted.PrivateKey())...)) {
		if p == looks && hit.secret == passwordName && strings.Contains(hit.from, " "+worker+" ") {
			continue // its own sudo asks for it
		}
		t.Error(hit)
	}
}

// leak is a decoy, and a part of the name of where it lies.
type leak struct{ value, from string }

// leaks are the decoys that lie in a place.
func (w *world) leaks(p place) []leak {
	decoy := w.decoys[p]
	switch p {
	case objects:
		return []leak{
			{decoy + "-annotation", "managed/hosts/default/" + controlPlane}, {decoy + "-status", "managed/hosts/default/" + controlPlane},
			{decoy + "-event", "managed/events/default/decoy"},
		}
	case logged:
		return []leak{{decoy, "decoy.log"}, {decoy, "kubewright manager"}}
	}
	return []leak{{decoy, ""}}
}

// requireKnown wants that all kinds of secrets were found to be hunted for.
func (w *world) requireKnown(t *testing.T) {
	t.Helper()
	for _, want := range []string{
		"the SSH key", "the encrypted SSH key", "the SSH key's passphrase", passwordName,
		"/etc/kubernetes/pki/ca.key of " + controlPlane, "/etc/kubernetes/pki/etcd/ca.key of " + controlPlane,
		"/etc/kubernetes/pki/front-proxy-ca.key of " + controlPlane, "/etc/kubernetes/pki/sa.key of " + controlPlane,
		"/etc/kubernetes/admin.conf of " + controlPlane, "/var/lib/kubelet/pki/kubelet-client-kubewright.pem of " + worker,
		"standalone: Secret default/hunted-ca, tls.key", "standalone: Secret default/hunted-backup, identity",
		"standalone: Secret default/hunted-kubeconfig, value", "managed: Secret default/hunted-ca, tls.key", "managed: Secret default/hunted-backup, identity",
		"embedded API server, ca.key",
	} {
		if !slices.ContainsFunc(w.known.secrets, func(s planted.Secret) bool { return s.Name == want }) {
			t.Errorf("%s is not among what is hunted for", want)
		}
	}
	if t.Failed() {
		var names []string
		for _, s := range w.known.secrets {
			names = append(names, s.Name)
		}
		t.Logf("hunted for:\n%s", strings.Join(slices.Compact(names), "\n"))
	}
}

// sampleProcesses watches processes until the returned function is called.
func (w *world) sampleProcesses(t *testing.T) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { watchProcesses(ctx, w.hunt) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// plantDecoysOnHosts starts a process, writes to the journal and writes a file, each with a decoy.
func (w *world) plantDecoysOnHosts(t *testing.T) {
	t.Helper()
	w.onHost(t, worker, fmt.Sprintf("DECOY=%s setsid tail -f /dev/null %s >/dev/null 2>&1 </dev/null &\n", w.decoys[environs], w.decoys[arguments]))
	w.onHost(t, worker, "logger "+w.decoys[journals])
	w.onHost(t, worker, "echo "+w.decoys[files]+" >/var/tmp/decoy")
}

// plantMetrics reads an endpoint that tells a decoy; the manager's own can be taught none.
func (w *world) plantMetrics(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(answer, "decoy{value=%q} 1\n", w.decoys[metrics])
	}))
	defer server.Close()
	must(t, readMetrics(t.Context(), w.hunt, server.URL))
}

// standalone has `kubewright up` make a cluster, look at it in all ways there are, put it right, and remove it.
func (w *world) standalone(t *testing.T) {
	t.Helper()
	w.describe(t, nil)
	w.call(t, 2, "plan", "-f", filepath.Join(w.Dir, w.decoys[printed]), "--bundle", w.Bundle)
	w.duringLook(t, "plan-of-a-new-cluster", func() {
		w.sendDecoy(t)
		w.call(t, 0, w.withFile("plan", "-v")...)
	})
	w.call(t, 0, w.withFile("up", "--plain", "--yes", "--kubeconfig", w.Kubeconfig())...)
	must(t, os.WriteFile(filepath.Join(w.StateDir(), "logs", "decoy.log"), []byte(w.decoys[logged]), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := watchFile(ctx, w.hunt, w.vault, ofCluster, w.Kubeconfig(), "apps"); err != nil {
			t.Errorf("watch the cluster: %v", err)
		}
	})
	for _, args := range [][]string{
		{"list"}, {"list", "-o", "json"}, {"status"}, {"status", "-o", "json"}, {"host", "list", "-o", "json"}, {"backup", "--plain"}, {"logs", "--tail", "0"},
	} {
		w.call(t, 0, args...)
	}
	// An authority and an identity have to be brought again: what a look says of them, and what is sent when it is done.
	w.onHost(t, controlPlane, "rm /etc/kubernetes/pki/sa.key && echo >>/etc/kubernetes/pki/front-proxy-ca.key")
	w.duringLook(t, "plan-of-lost-authorities", func() { w.call(t, 3, w.withFile("plan", "-v", "--exit-code")...) })
	must(t, record(t.Context(), w.fleet, "apply"))
	w.call(t, 0, w.withFile("up", "--plain", "--yes")...)
	must(t, record(t.Context(), w.fleet, ""))
	w.knowKeys(t)
	t.Run("a recorder shows authorities that are sent because they were lost", func(t *testing.T) { w.requireSent(t, "apply") })
	w.duringLook(t, "plan-of-nothing", func() { w.call(t, 0, w.withFile("plan", "-o", "json", "--exit-code")...) })
	t.Run("files of hosts hold only the keys that belong there", func(t *testing.T) { w.requireFiles(t, w.known.meant) })
	cancel()
	watching.Wait()
	w.call(t, 0, "delete", w.Name, "--reset", "--yes", "--plain")
	t.Run("files of hosts hold no key of a cluster that was removed", func(t *testing.T) { w.requireFiles(t, nowhere) })
}

// duringLook records what hosts receive while something only looks.
func (w *world) duringLook(t *testing.T, phase string, look func()) {
	t.Helper()
	must(t, record(t.Context(), w.fleet, phase))
	look()
	must(t, record(t.Context(), w.fleet, ""))
	w.readLook(t, phase)
}

// sendDecoy logs in to a host and sends it a decoy, as the program would send something.
func (w *world) sendDecoy(t *testing.T) {
	t.Helper()
	client, err := w.fleet.Dial(t.Context(), worker, "ops")
	must(t, err)
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	must(t, err)
	session.Stdin = strings.NewReader(w.decoys[looks])
	must(t, session.Run("cat >/dev/null"))
}

// knowKeys takes the keys that hosts and the embedded API server have.
func (w *world) knowKeys(t *testing.T) {
	t.Helper()
	// First, so that what is meant to be on hosts is known by all its names.
	must(t, w.known.opened(w.vault))
	must(t, keysOfHosts(t.Context(), w.fleet, map[string]bool{controlPlane: true}, w.known))
	keys, err := filepath.Glob(filepath.Join(w.StateDir(), "pki", "*.key"))
	must(t, err)
	for _, path := range keys {
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, w.known.take("embedded API server, "+filepath.Base(path), content))
	}
}

// requireSent wants to see the authorities that had to be brought to the control plane, and none on the worker.
func (w *world) requireSent(t *testing.T, phase string) {
	t.Helper()
	finder := planted.NewFinder(w.known.secrets...)
	sent := map[string][]string{}
	w.eachReceived(t, phase, func(host, _ string, content []byte) { sent[host] = append(sent[host], finder.In(content)...) })
	for _, want := range []string{"sa.key", "front-proxy-ca.key"} {
		if name := "/etc/kubernetes/pki/" + want + " of " + controlPlane; !slices.Contains(sent[controlPlane], name) {
			t.Errorf("%s is not seen among what %s received: %s", want, controlPlane, sent[controlPlane])
		}
	}
	for _, secret := range sent[worker] {
		if secret != passwordName {
			t.Errorf("%s received %s", worker, secret)
		}
	}
}

// nowhere says of every secret that it belongs into no file.
func nowhere(string, string, string) bool { return false }

// requireFiles wants that files of hosts hold the decoy, and no secret that is not meant to be there.
func (w *world) requireFiles(t *testing.T, meant func(host, path, secret string) bool) {
	t.Helper()
	const decoyName = "the decoy in a file"
	secrets := append(slices.Clone(w.known.secrets), planted.Secret{Name: decoyName, Value: []byte(w.decoys[files])})
	seen := newHunt()
	must(t, searchFiles(t.Context(), seen, w.fleet, planted.NewFinder(secrets...), meant))
	decoy := false
	for _, hit := range seen.hits(files, planted.NewFinder()) {
		if hit.secret == decoyName {
			decoy = true
			continue
		}
		t.Error(hit)
	}
	if !decoy {
		t.Error("the decoy is not found, so nothing would be")
	}
	for f := range w.filesWithKeys(t) {
		if !w.before[f] && !slices.ContainsFunc(w.known.secrets, func(s planted.Secret) bool { return meant(f.host, f.path, s.Name) }) {
			t.Errorf("%s of %s holds a private key that does not belong there", f.path, f.host)
		}
	}
	texts, _ := seen.searched(files)
	t.Logf("%d files", texts)
}
