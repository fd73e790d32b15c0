package plan

import (
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// Summary is what a planned change comes to, for somebody who has to decide whether it may be made. It has no more than the entries of the
// plan say.
type Summary struct {
	// Begins is the host on which the cluster begins, Joins are the further control planes and Workers the workers that are made.
	Begins  string   `json:"begins,omitempty"`
	Joins   []string `json:"joins,omitempty"`
	Workers []string `json:"workers,omitempty"`
	// Drained lists the hosts of the cluster whose pods move, Leaving those that are taken out of it.
	Drained []string `json:"drained,omitempty"`
	Leaving []string `json:"leaving,omitempty"`
	// ContentBytes is how much content of the bundle hosts lack, by host.
	ContentBytes map[string]int64 `json:"contentBytes,omitempty"`
	// Restarts lists what runs now and is restarted.
	Restarts []Restart `json:"restarts,omitempty"`
}

// Restart is something that runs and is restarted, and on which hosts.
type Restart struct {
	What string `json:"what"`
	// Hosts is empty for what runs in the whole cluster.
	Hosts []string `json:"hosts,omitempty"`
}

// Summarise reads a plan.
func Summarise(changes []v1alpha1.PlannedChange) Summary {
	s := Summary{ContentBytes: map[string]int64{}}
	for _, c := range changes {
		switch c.Step {
		case StepInit:
			s.Begins = c.Host
		case StepPrepare:
			s.Joins = append(s.Joins, c.Host)
		case StepJoin:
			s.Workers = append(s.Workers, c.Host)
		case StepCPDrain, StepWorkerDrain:
			s.Drained = append(s.Drained, c.Host)
		case StepLeaveNode:
			s.Leaving = append(s.Leaving, c.Host)
		case StepCPUpdate:
			s.restart("static pods of the control plane", c.Host)
		case StepKubeProxy, StepKubeProxyStart:
			s.restart("kube-proxy", "")
		case StepCoreDNS:
			s.restart("CoreDNS", "")
		}
		for line := range strings.Lines(c.Why) {
			if n, ok := hostapi.MissingBytes(strings.TrimSpace(Reason(line).Why)); ok {
				s.ContentBytes[c.Host] += n
			}
		}
	}
	if s.Begins != "" {
		s.Restarts = nil // nothing runs yet
	}
	joins := s.Joining()
	for _, c := range changes {
		if slices.Contains(joins, c.Host) {
			continue // nothing of ours runs there yet
		}
		for line := range strings.Lines(c.Why) {
			if r := Reason(line); r.Kind == "unit" && !strings.Contains(r.Why, "are not recorded yet") {
				s.restart(r.Name, c.Host)
			}
		}
	}
	return s
}

// Joining lists the hosts that become part of the cluster.
func (s Summary) Joining() []string {
	var hosts []string
	if s.Begins != "" {
		hosts = append(hosts, s.Begins)
	}
	return append(append(hosts, s.Joins...), s.Workers...)
}

func (s *Summary) restart(what, host string) {
	at := slices.IndexFunc(s.Restarts, func(r Restart) bool { return r.What == what })
	if at < 0 {
		s.Restarts, at = append(s.Restarts, Restart{What: what}), len(s.Restarts)
	}
	if r := &s.Restarts[at]; host != "" && !slices.Contains(r.Hosts, host) {
		r.Hosts = append(r.Hosts, host)
	}
}

// Difference is one line of why a host is not as wanted.
type Difference struct {
	// Kind and Name of the resource, as "file" and "/etc/containerd/config.toml"; Kind is empty for what is not about one.
	Kind, Name string
	// Why is what is said of it.
	Why string
}

// resourceLine is a line about a resource: its ID, and what is said of it.
var resourceLine = regexp.MustCompile(`^(file|dir|unit|symlink|image|blob|module|sysctl|command|probe|absent)/?([^:]*): (.*)$`)

// Reason reads one line of PlannedChange.Why.
func Reason(line string) Difference {
	line = strings.TrimRight(line, "\n")
	found := resourceLine.FindStringSubmatch(line)
	if found == nil {
		return Difference{Why: line}
	}
	return Difference{Kind: found[1], Name: found[2], Why: found[3]}
}
