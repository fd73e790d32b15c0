package provision

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
)

func TestProblemsThatAreIgnoredAreTold(t *testing.T) {
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		ignore []string
		state  engine.State
		// says are texts of the event that ends the step, none for an empty message.
		says []string
	}{
		{"a problem stops the operation", nil, engine.StateFailed, []string{"Clock: the host's clock is 1h0m0s off"}},
		{"one that is ignored does not, and is told", []string{"Clock", "Swap"}, engine.StateDone, []string{"ignorePreflightErrors", "Clock: the host's clock is 1h0m0s off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var last engine.Event
			x := &execution{
				desired: &desired.Cluster{
					UID: "1", Version: "v1.36.3", Authorities: authorities, Release: &bundle.Release{Platforms: []string{"linux/amd64"}},
					Hosts: []desired.Host{{Name: "w1", Address: "192.0.2.1", Role: v1alpha1.WorkerRole, KubeletVersion: "v1.36.3", IgnorePreflightErrors: c.ignore}},
				},
				facts: map[string]*hostapi.Facts{"w1": {
					MachineID: "a", Platform: "linux/amd64", Cgroup: "v2", SystemdVersion: 252, ClockSkew: time.Hour,
					Interfaces: []hostapi.Interface{{Name: "eth0", Addresses: []string{"192.0.2.1/24"}}},
					Programs:   []hostapi.Program{{Name: "cp", Path: "/usr/bin/cp"}, {Name: "losetup", Path: "/usr/sbin/losetup"}, {Name: "mount", Path: "/usr/bin/mount"}},
					Features:   hostapi.KernelFeatures{Overlay: true, NFTables: true, Conntrack: true, VXLAN: true},
				}},
			}
			_, err := engine.Run(t.Context(), engine.Graph{Steps: []engine.Step{x.preflightStep([]string{"w1"})}},
				engine.Options{Sink: engine.SinkFunc(func(e engine.Event) { last = e })})
			if (err != nil) != (c.state == engine.StateFailed) || last.State != c.state {
				t.Fatalf("it ended as %s: %v", last.State, err)
			}
			for _, text := range c.says {
				if !strings.Contains(last.Message, text) {
					t.Errorf("%q does not say %q", last.Message, text)
				}
			}
		})
	}
}

func TestWhatAHostSaysOfItselfIsBounded(t *testing.T) {
	long := strings.Repeat("x", 5000)
	facts := hostFacts(&hostapi.Facts{Hostname: long, MachineID: long, Platform: long, Kernel: long, Cgroup: long, OS: hostapi.OSRelease{PrettyName: long}})
	for _, text := range []string{facts.Hostname, facts.MachineID, facts.Platform, facts.OS, facts.Kernel, facts.CgroupVersion} {
		if len(text) != maxFact {
			t.Errorf("%d bytes are kept", len(text))
		}
	}
}
