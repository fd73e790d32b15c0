package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

// never is a program that waits for what does not come. What the test does to the host comes first.
const never = "echo begun > $1/etc/begun; "

func TestACommandIsStoppedWhenWhatItWaitsForEndsAgainAndAgain(t *testing.T) {
	const pods = "/var/log/pods/kube-system_kube-apiserver-n1_"
	logged := func(uid string, attempt int, text string) string {
		return fmt.Sprintf("mkdir -p $1%[1]s%[2]s/kube-apiserver; echo '2026-11-30T10:00:00Z stderr F %[4]s' > $1%[1]s%[2]s/kube-apiserver/%[3]d.log; ", pods, uid, attempt, text)
	}
	const running = "mkdir -p $1/proc/77; printf 'etcd\\0--name=n1\\0' > $1/proc/77/cmdline; "
	missing := `E1130 run.go:72] "command failed" err="loading audit policy file: open /etc/kubernetes/audit.yaml: no such file"`
	for name, c := range map[string]struct {
		script string
		says   []string
		lacks  string
	}{
		"a static pod that was exchanged": {running + "echo new > $1/etc/manifest; " + logged("new", 3, missing), []string{
			"command job was stopped: static pod kube-apiserver ends again and again: " + missing, "its former manifests were put back",
		}, ""},
		"a static pod that did so before, too": {running + logged("old", 4, missing), []string{"static pod kube-apiserver ends again and again"}, "put back"},
		"a unit":                               {running + "touch $1/etc/configured; ", []string{"command job was stopped: unit kubelet.service ends again and again: it was the unit's own fault"}, "put back"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			h.Write(t, "/etc/manifest", "old")
			h.Write(t, pods+"old/kube-apiserver/1.log", "")
			s := h.Connect(t, "op", nil)
			lease(t, s)
			if strings.Contains(name, "unit") {
				h.System.SetUnit("kubelet.service", true, true)
			}
			r := command(h, "k", never+c.script+"exec sleep 600", func(c *api.Command) {
				c.Watch = &api.Watch{
					Units: []api.WatchedUnit{{Name: "containerd.service"}, {Name: "kubelet.service", Once: "/etc/configured"}}, StaticPods: []string{"etcd", "kube-apiserver"},
					Restores: []string{"/etc/manifest"},
				}
			})
			if strings.Contains(name, "unit") {
				go crash(t, h, "kubelet.service")
			}
			_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
			var re *api.ResourceError
			if !errors.As(err, &re) {
				t.Fatalf("got %v", err)
			}
			if re.Reason != api.ReasonEndsAgain || re.Retryable {
				t.Errorf("reason %s, retryable %v", re.Reason, re.Retryable)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("it does not say %q: %v", says, err)
				}
			}
			if c.lacks != "" && strings.Contains(err.Error(), c.lacks) {
				t.Errorf("it says %q: %v", c.lacks, err)
			}
			if strings.Count(err.Error(), "again and again") != 1 || strings.Count(err.Error(), "no such file") > 1 {
				t.Errorf("it says so twice: %v", err)
			}
			if got := h.Read("/etc/manifest"); got != "old" {
				t.Errorf("the manifest is %q", got)
			}
		})
	}
}

// crash makes a unit end by itself a little more often than is borne, once the command has begun.
func crash(t *testing.T, h *hosttest.Host, unit string) {
	tick := time.NewTicker(3 * time.Second)
	defer tick.Stop()
	for range 6 {
		select {
		case <-t.Context().Done():
			return
		case <-tick.C:
			h.System.Crash(unit)
		}
	}
}

func TestAPodThatWaitsForAnotherIsNotBlamed(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	// etcd does not run, so the API server ends; in the meantime etcd comes.
	script := `d=$1/var/log/pods/kube-system_kube-apiserver-n1_a/kube-apiserver; mkdir -p $d; for i in 0 1 2 3 4; do echo x > $d/$i.log; done; sleep 5
mkdir -p $1/proc/77; printf 'etcd\0' > $1/proc/77/cmdline; sleep 5; exit 0`
	apply(t, s, command(h, "k", script, func(c *api.Command) { c.Watch = &api.Watch{StaticPods: []string{"etcd", "kube-apiserver"}} }))
}

func TestAFailedCommandSaysWhichStaticPodDoesNotRunAndThatKubeadmRolledBack(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.Write(t, "/etc/kubernetes/manifests/kube-apiserver.yaml", "")
	h.Write(t, "/var/log/pods/kube-system_kube-apiserver-n1_a/kube-apiserver/0.log", "2026-11-30T10:00:00Z stderr F Error: unknown flag: --no-such\n")
	r := command(h, "k", "echo couldnt upgrade control plane. kubeadm has tried to recover everything into the earlier state.; exit 1", func(c *api.Command) {
		c.StaticPods = []string{"kube-apiserver", "kube-scheduler"}
	})
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) {
		t.Fatalf("got %v", err)
	}
	want := "command job failed; static pod kube-apiserver does not run: Error: unknown flag: --no-such; kubeadm has put the former manifests back"
	if re.Message != want || !re.Retryable {
		t.Errorf("it says %q (retryable: %v), want %q", re.Message, re.Retryable, want)
	}
}
