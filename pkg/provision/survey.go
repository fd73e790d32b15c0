package provision

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/inbound"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/steps/preflight"
)

// connectStep opens the one connection to each host and reads its facts.
func (x *execution) connectStep(names []string, outcome *Outcome) engine.Step {
	var mu sync.Mutex
	return engine.Step{
		ID: plan.StepConnect, Title: "Connect and read facts", Hosts: names, Timeout: 2 * time.Minute, Stall: stall(&x.request.Cluster.Spec.Rollout),
		Retry: engine.RetryPolicy{Attempts: 3},
		Check: func(_ context.Context, host string) (engine.Verdict, error) {
			mu.Lock()
			defer mu.Unlock()
			if x.facts[host] != nil {
				return engine.Verdict{State: engine.Done}, nil
			}
			return needed("not connected"), nil
		},
		Apply: func(ctx context.Context, host string, report func(string)) error {
			facts, err := x.connect(ctx, host, report)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				outcome.Hosts[host] = HostOutcome{Err: err}
				err = x.leavingAdvice(host, err)
				return engine.WithDetail(err, engine.Detail{Reason: connectReason(err)})
			}
			outcome.Hosts[host] = HostOutcome{}
			x.facts[host] = facts
			return nil
		},
	}
}

// defaultStall is how long a host may receive nothing of the bundle where the Cluster does not say; the schema's default.
const defaultStall = 3 * time.Minute

// stall is how long a host may receive nothing of the bundle.
func stall(policy *v1alpha1.RolloutPolicy) time.Duration {
	if policy.StallTimeout != nil {
		return policy.StallTimeout.Duration
	}
	return defaultStall
}

func (x *execution) connect(ctx context.Context, host string, report func(string)) (*hostapi.Facts, error) {
	helper, err := x.sessions.reporting(ctx, host, report)
	if err != nil {
		var unreachable *ssh.UnreachableError
		if errors.As(err, &unreachable) && unreachable.Phase == ssh.PhaseTCP {
			// A machine that is off, or an address that is wrong: people wait for this answer.
			return nil, engine.Permanent(fmt.Errorf("%w; see that the machine is on, that sshd listens, and that spec.address and spec.port of the Host are right", err))
		}
		return nil, err
	}
	facts, err := helper.Facts(ctx, x.dataDirectories(host)...)
	if err != nil {
		return nil, classify(err)
	}
	if name := x.endpointName(); name != "" {
		verdicts, err := helper.Check(ctx, hostapi.CheckRequest{Resources: []hostapi.Resource{{ID: "probe/endpoint-name", Probe: &hostapi.Probe{Name: name}}}})
		if err != nil {
			return nil, classify(err)
		}
		facts.EndpointProblem = verdicts[0].Why
	}
	return facts, nil
}

// endpointName is the name that nodes reach the API by; "" when it is an address.
func (x *execution) endpointName() string {
	host := x.desired.Endpoint.Host
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

// dataDirectories are those of a host that are not at their well-known places, nil for one that leaves.
func (x *execution) dataDirectories(host string) []string {
	var dirs []string
	for _, h := range x.desired.Hosts {
		if h.Name != host {
			continue
		}
		for _, d := range h.DataDirectories {
			dirs = append(dirs, d.Path)
		}
	}
	return dirs
}

// leavingAdvice says what to do about a host that leaves and cannot be reached.
func (x *execution) leavingAdvice(host string, err error) error {
	if !slices.ContainsFunc(x.leaving, func(l leavingHost) bool { return l.Name == host }) {
		return err
	}
	return fmt.Errorf("%w; host %s leaves the cluster: when its machine is gone for good, set spec.onRemoval of the Host to Orphan (kubewright host orphan %s)", err, host, host)
}

// preflightStep judges hosts by their facts, and by whether the files are there that the spec names on them.
func (x *execution) preflightStep(names []string) engine.Step {
	byName := map[string]desired.Host{}
	for _, h := range x.desired.Hosts {
		byName[h.Name] = h
	}
	return engine.Step{
		ID: plan.StepPreflight, Title: "Check every host", Hosts: names,
		Check: func(ctx context.Context, host string) (engine.Verdict, error) {
			found := preflight.Evaluate(x.desired, byName[host], x.facts)
			named, err := x.namedFiles(ctx, byName[host])
			if err != nil {
				return engine.Verdict{}, err
			}
			if stopping := append(found.Stopping, named...); len(stopping) > 0 {
				return engine.Verdict{}, engine.NeedsHuman(&PreflightError{Host: host, Problems: stopping})
			}
			return engine.Verdict{State: engine.Done, Note: noteOf(found)}, nil
		},
	}
}

// noteOf is what people should know of a host that passed.
func noteOf(found preflight.Findings) string {
	var parts []string
	if len(found.Ignored) > 0 {
		parts = append(parts, "ignored, as overrides.ignorePreflightErrors says: "+preflight.Format(found.Ignored))
	}
	if len(found.Notes) > 0 {
		parts = append(parts, preflight.Format(found.Notes))
	}
	return strings.Join(parts, "; ")
}

// maxFact bounds each text in a Host's facts, in bytes; the longest that is honest is a host's name.
const maxFact = 253

func hostFacts(f *hostapi.Facts) *v1alpha1.HostFacts {
	fact := func(text string) string { return inbound.Head(text, maxFact) }
	facts := &v1alpha1.HostFacts{
		Hostname: fact(f.Hostname), MachineID: fact(f.MachineID), Platform: fact(f.Platform), OS: fact(f.OS.PrettyName), Kernel: fact(f.Kernel),
		CPUs: int32(f.CPUs), MemoryBytes: f.MemoryBytes, CgroupVersion: fact(f.Cgroup), ObservedAt: metav1.Now(),
	}
	for _, d := range f.Disks {
		if d.Path == "/var/lib" {
			facts.DiskFreeBytes = d.FreeBytes
		}
	}
	return facts
}
