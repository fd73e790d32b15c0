package server_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

func TestACommandDoesLessWhenWhatItLeavesOutIsAsItWas(t *testing.T) {
	script := func(does string) string { return "echo " + does + " >> $1/etc/did; echo made > $1/etc/made" }
	job := func(h *hosttest.Host, key string, inputs map[string]string) api.Resource {
		return command(h, key, script("all"), func(c *api.Command) {
			c.Inputs, c.Outputs = inputs, []string{"/etc/made"}
			for _, n := range []api.Narrower{{Inputs: []string{"store", "version"}, Outputs: []string{"/etc/made"}}, {Inputs: []string{"version"}}} {
				n.Argv = slices.Clone(c.Argv)
				n.Argv[2] = script("without-" + strings.Join(n.Inputs, "-"))
				c.Narrower = append(c.Narrower, n)
			}
		})
	}
	inputs := func(server, store, version string) map[string]string {
		return map[string]string{"server": server, "store": store, "version": version}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, h *hosttest.Host)
		inputs map[string]string
		did    string
	}{
		"only what is not left out is another":          {inputs: inputs("b", "s", "1"), did: "without-store-version"},
		"what the first way leaves out is another, too": {inputs: inputs("b", "t", "1"), did: "without-version"},
		"what every way leaves out is another":          {inputs: inputs("b", "s", "2"), did: "all"},
		"an input that nobody had before":               {inputs: map[string]string{"server": "a", "store": "s", "version": "1", "more": "m"}, did: "without-store-version"},
		"an input that a way leaves out is gone":        {inputs: map[string]string{"server": "a", "version": "1"}, did: "without-version"},
		"somebody changed the output": {change: func(t *testing.T, h *hosttest.Host) { h.Write(t, "/etc/made", "by hand\n") },
			inputs: inputs("b", "s", "1"), did: "without-version"},
		"somebody removed the output": {change: func(t *testing.T, h *hosttest.Host) { remove(t, h, "/etc/made") },
			inputs: inputs("b", "s", "1"), did: "without-version"},
		"a receipt that does not say what it was done for": {change: func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/var/lib/kubewright/receipts/job.json", `{"key":"k1","operation":"op","finished":"2026-11-22T15:00:00Z"}`)
		}, inputs: inputs("b", "s", "1"), did: "all"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			apply(t, s, job(h, "k1", inputs("a", "s", "1")))
			if c.change != nil {
				c.change(t, h)
			}
			apply(t, s, job(h, "k2", c.inputs))
			if got, want := h.Read("/etc/did"), "all\n"+c.did+"\n"; got != want {
				t.Errorf("it did %q, want %q", got, want)
			}
		})
	}
}

func TestWhatACommandLeavesBehindGoes(t *testing.T) {
	const copies = "/etc/tmp/copy-*"
	scratch := func(c *api.Command) { c.Scratch = []string{copies} }
	leave := "mkdir -p $1/etc/tmp/copy-1/member; echo secret > $1/etc/tmp/copy-1/member/db; "
	for name, exit := range map[string]string{"after success": "true", "after failure": "exit 3", "after it was killed": "kill -9 $$"} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{command(h, "k", leave+exit, scratch)}}, nil)
			if (err == nil) != (exit == "true") {
				t.Errorf("the command: %v", err)
			}
			requireGone(t, h, "/etc/tmp/copy-1")
		})
	}
	t.Run("what earlier versions left is shown, and goes without the command's running again", func(t *testing.T) {
		h := hosttest.New(t)
		s := h.Connect(t, "op", nil)
		lease(t, s)
		apply(t, s, command(h, "k", "true"))
		h.Write(t, "/etc/tmp/copy-1/member/db", "secret")
		h.Write(t, "/etc/tmp/copy-2/member/db", "secret")
		h.Write(t, "/etc/tmp/other/file", "stays")
		r := command(h, "k", "exit 1", scratch)
		if v := check(t, s, r); v.State != api.Needed || v.Why != "/etc/tmp/copy-1 was left behind and must not stay" {
			t.Errorf("%+v", v)
		}
		apply(t, s, r)
		requireGone(t, h, "/etc/tmp/copy-1")
		requireGone(t, h, "/etc/tmp/copy-2")
		if h.Read("/etc/tmp/other/file") != "stays" || h.System.Starts("job") != 1 {
			t.Errorf("what it left is %q, and it ran %d times", h.Read("/etc/tmp/other/file"), h.System.Starts("job"))
		}
	})
	t.Run("a link of that name, and what it leads to, stay", func(t *testing.T) {
		h := hosttest.New(t)
		s := h.Connect(t, "op", nil)
		lease(t, s)
		h.Write(t, "/srv/data/db", "somebody else's")
		h.Write(t, "/etc/tmp/other", "")
		if err := os.Symlink(h.Path("/srv/data"), h.Path("/etc/tmp/copy-1")); err != nil {
			t.Fatal(err)
		}
		apply(t, s, command(h, "k", "true", scratch))
		if h.Read("/etc/tmp/copy-1/db") != "somebody else's" {
			t.Error("the link or what it leads to is gone")
		}
	})
}

func requireGone(t *testing.T, h *hosttest.Host, p string) {
	t.Helper()
	if _, err := os.Lstat(h.Path(p)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", p, err)
	}
}

func TestACommandThatWasDoneBeforeWaitsForStaticPodsThatAreHeldBack(t *testing.T) {
	pods := func(c *api.Command) { c.StaticPods = []string{"etcd", "kube-apiserver"} }
	const process = "/proc/4711/cmdline"
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/kubernetes/manifests/etcd.yaml", "")
	// The first run waits for nothing: nothing was begun yet.
	apply(t, s, command(h, "k1", "true", pods))
	waits, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{command(h, "k2", "true", pods)}}, func(p api.Progress) {
			if strings.Contains(p.Message, "wait until") {
				waits <- p.Message
			}
		})
		ended <- err
	}()
	select {
	case said := <-waits:
		if !strings.Contains(said, "static pod etcd") {
			t.Errorf("it says %q", said)
		}
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it neither waits nor ends")
	}
	if n := h.System.Starts("job"); n != 1 {
		t.Errorf("it was started %d times while a pod was held back", n)
	}
	h.Write(t, process, "etcd\x00--name=n1\x00")
	if err := <-ended; err != nil || h.System.Starts("job") != 2 {
		t.Errorf("once it runs: %v, started %d times", err, h.System.Starts("job"))
	}
}
