package server_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func command(h *hosttest.Host, key, script string, edit ...func(*api.Command)) api.Resource {
	// The root of the host stands in $1: programs that tests run do not know of it.
	c := &api.Command{Name: "job", Key: key, Argv: []string{"/bin/sh", "-c", script, "sh", h.Root}}
	for _, e := range edit {
		e(c)
	}
	return api.Resource{ID: "job", Command: c}
}

func TestACommandRunsOnceForItsKey(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	var lines []string
	r := command(h, "k1", "echo hello; echo out > $1/etc/made", func(c *api.Command) { c.Creates = []string{"/etc/made"} })
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, func(p api.Progress) { lines = append(lines, p.Message) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(lines, "hello") {
		t.Errorf("the output was not told: %q", lines)
	}
	if vs := apply(t, s, r); vs[0].Changed || h.System.Starts("job") != 1 {
		t.Errorf("again: %+v, started %d times", vs, h.System.Starts("job"))
	}
	// The first answer is from the opening of the session; the next one is asked for.
	if _, err := s.Facts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Facts(t.Context()); err != nil || !slices.Equal(f.Receipts, []string{"job"}) {
		t.Errorf("receipts are %q, %v", f.Receipts, err)
	}
	other := command(h, "k2", "echo hello")
	if vs := apply(t, s, other); !vs[0].Changed || h.System.Starts("job") != 2 {
		t.Errorf("with another key: %+v, started %d times", vs, h.System.Starts("job"))
	}
}

func TestACommandForOtherInputsNamesThem(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	with := func(key string, inputs map[string]string) api.Resource {
		return command(h, key, "true", func(c *api.Command) { c.Inputs = inputs })
	}
	apply(t, s, with("k1", map[string]string{"names": "a", "version": "1", "zone": "z", "old": "o"}))
	for name, c := range map[string]struct {
		inputs map[string]string
		why    string
	}{
		"another, a new one and one less": {map[string]string{"names": "a", "version": "2", "zone": "z", "new": "n"}, "it was done for other inputs: new, old, version"},
		"nobody says which":               {nil, "it was done for other inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := check(t, s, with("k2", c.inputs)); v.Why != c.why {
				t.Errorf("it says %q, want %q", v.Why, c.why)
			}
		})
	}
}

func TestACommandWhoseResultIsGoneRunsAgain(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", "echo x > $1/etc/made", func(c *api.Command) { c.Creates = []string{"/etc/made"} })
	apply(t, s, r)
	if err := os.Remove(h.Path("/etc/made")); err != nil {
		t.Fatal(err)
	}
	if vs := apply(t, s, r); !vs[0].Changed {
		t.Errorf("%+v", vs)
	}
}

func TestACommandThatHadBegunGoesOnInItsOtherWay(t *testing.T) {
	for name, begun := range map[string]bool{"nothing was there": false, "the file was there": true} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			if begun {
				h.Write(t, "/etc/part", "")
			}
			apply(t, s, command(h, "k", "echo whole > $1/etc/made", func(c *api.Command) {
				other := slices.Clone(c.Argv)
				other[2] = "echo rest > $1/etc/made"
				c.Begun = &api.Begun{Path: "/etc/part", Argv: other}
			}))
			if got, want := h.Read("/etc/made"), map[bool]string{false: "whole\n", true: "rest\n"}[begun]; got != want {
				t.Errorf("it did %q, want %q", got, want)
			}
		})
	}
}

func TestACommandThatSaysItIsDoneButIsNotFails(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", "true", func(c *api.Command) { c.Creates = []string{"/etc/never"} })
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Reason != api.ReasonNotDone {
		t.Fatalf("got %#v", err)
	}
}

func TestAFailedCommandTellsWhatTheStaticPodsSaidThatItWaitedFor(t *testing.T) {
	h := hosttest.New(t)
	h.System.Fail("journalctl --no-pager --quiet --output=cat --lines=200 --unit=kubelet.service", sys.Output{
		Stdout: "I1129 10:00:00 all is well\nE1129 10:00:01 cannot start kube-apiserver, token: hunter2-hunter2\n",
	})
	pods := "/var/log/pods/kube-system_etcd-n2_"
	h.Write(t, pods+"old/etcd/0.log", "2026-11-29T10:00:00.1Z stderr F an older pod\n")
	h.Write(t, pods+"new/etcd/3.log", "2026-11-29T10:00:00.1Z stderr F cannot bind: address in use\n")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(h.Path(pods+"old/etcd/0.log"), long, long); err != nil {
		t.Fatal(err)
	}
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", "echo waited in vain; exit 1", func(c *api.Command) { c.StaticPods = []string{"etcd", "kube-apiserver", "kube-scheduler"} })
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) {
		t.Fatalf("got %#v", err)
	}
	said := regexp.MustCompile(`of \S+ ago`).ReplaceAllString(strings.Join(re.Output, "\n"), "of some time ago")
	want := `waited in vain
-- static pod etcd, last heard of some time ago:
cannot bind: address in use
-- nothing was said on this host by static pod kube-apiserver, kube-scheduler; kubelet's last errors:
E1129 10:00:01 cannot start kube-apiserver, token: [redacted]`
	if said != want {
		t.Errorf("it says\n%s\nwant\n%s", said, want)
	}
}

func TestAFailedCommandGivesItsExitCodeAndItsLastLinesWithoutSecrets(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", `cat "$1/run/kubewright/job/token"; echo "--token abcdef.0123456789abcdef"; for i in $(seq 100); do echo line $i; done; exit 9`, func(c *api.Command) {
		c.Files = []api.CommandFile{{Path: "token", Content: []byte("hunter2-hunter2\n"), Secret: true}}
	})
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.ExitCode != 9 || re.Reason != api.ReasonCommandFailed {
		t.Fatalf("got %#v", err)
	}
	if len(re.Output) != 30 || re.Output[29] != "line 100" {
		t.Errorf("the last lines are %q", re.Output)
	}
	logs, err := s.Logs(t.Context(), "op", 0)
	if err != nil || len(logs.Runs) != 1 || *logs.Runs[0].ExitCode != 9 {
		t.Fatalf("%+v, %v", logs, err)
	}
	all := strings.Join(logs.Runs[0].Lines, "\n")
	if strings.Contains(all, "hunter2") || strings.Contains(all, "0123456789abcdef") || !strings.Contains(all, "[redacted]") {
		t.Errorf("the output kept on the host: %s", all[:200])
	}
	if sys.Exists(h.Path("/run/kubewright/job")) {
		t.Error("the input files are still there")
	}
}

func TestACommandThatTakesTooLongIsStopped(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", "exec sleep 600", func(c *api.Command) { c.TimeoutSeconds = 1 })
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Reason != api.ReasonTimeout || !re.Retryable {
		t.Fatalf("got %#v", err)
	}
}

func TestAProgramThatIsNotThereFailsWithTheReason(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := api.Resource{ID: "job", Command: &api.Command{Name: "job", Key: "k", Argv: []string{"/no/such/program"}}}
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.ExitCode != 127 || !strings.Contains(re.Message, "no such file") {
		t.Fatalf("got %#v", err)
	}
}

func TestACommandGoesOnWithoutTheSessionAndIsAttachedTo(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	// It ends when the test says so.
	r := command(h, "k", `echo started; echo run >> "$1/etc/runs"; until [ -e "$1/etc/go" ]; do sleep 0.05; done; echo ended`)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Apply(context.Background(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
		failed <- err
	}()
	waitFor(t, "the command", func() bool { return h.Read("/etc/runs") != "" })
	s.Kill()
	var lost *client.LostError
	if err := <-failed; !errors.As(err, &lost) {
		t.Fatalf("got %v", err)
	}

	again := h.Connect(t, "op-2", nil)
	vs, err := again.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{r}})
	if err != nil || vs[0].State != api.Needed || !vs[0].Running {
		t.Fatalf("%+v, %v", vs, err)
	}
	lease(t, again)
	var lines []string
	_, err = again.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, func(p api.Progress) {
		lines = append(lines, p.Message)
		if p.Message == "started" {
			h.Write(t, "/etc/go", "")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(lines, "ended") || h.Read("/etc/runs") != "run\n" || h.System.Starts("job") != 1 {
		t.Errorf("lines %q, runs %q", lines, h.Read("/etc/runs"))
	}
}

func TestARunForOtherInputsIsWaitedForAndThenOursRuns(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	first := command(h, "k1", `echo 1 >> "$1/etc/runs"; until [ -e "$1/etc/go" ]; do sleep 0.05; done`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.Apply(ctx, api.ApplyRequest{Owner: owner, Resources: []api.Resource{first}}, nil)
	}()
	waitFor(t, "the first run", func() bool { return h.Read("/etc/runs") == "1\n" })
	cancel()
	<-ended
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{command(h, "k2", `echo 2 >> "$1/etc/runs"`)}}, func(p api.Progress) {
		if strings.HasPrefix(p.Message, "attach") {
			h.Write(t, "/etc/go", "")
		}
	})
	if err != nil || h.Read("/etc/runs") != "1\n2\n" {
		t.Errorf("runs %q, %v", h.Read("/etc/runs"), err)
	}
}

func TestWhatKubeadmsChecksRefuseIsSaidOnceAndNotTriedAgain(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	r := command(h, "k", `printf '[preflight] Running pre-flight checks\n[preflight] Some fatal errors occurred:\n\t[ERROR KubeletVersion]: \033[0;31mtoo new\033[0m\n'
		echo '[preflight] If you know what you are doing, you can make a check non-fatal'; echo 'error: error execution phase preflight: preflight checks failed'; exit 2`)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Retryable || re.ExitCode != 2 || re.Reason != api.ReasonRefusedByKubeadm {
		t.Fatalf("got %#v", err)
	}
	if want := `command job failed, because of checks of kubeadm's own: [ERROR KubeletVersion]: too new`; re.Message != want || len(re.Output) != 0 {
		t.Errorf("it says %q and %q\nwant    %q", re.Message, re.Output, want)
	}
}
