package resource

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// podLogs is where kubelet has containers' output written, as <namespace>_<pod>_<uid>/<container>/<attempt>.log.
	podLogs = "/var/log/pods"
	// podLines is how many lines of a static pod, or of kubelet where there is no such pod, go into an error.
	podLines = 8
	// kubeletLines is how far back kubelet's errors are looked for.
	kubeletLines = 200
)

var (
	// criLine is how the container runtime begins a line of a log: time, stream, and whether the line is whole.
	criLine = regexp.MustCompile(`^\S+ (?:stdout|stderr) [FP] `)
	// klogError is how a component of Kubernetes begins a line that tells of an error.
	klogError = regexp.MustCompile(`^[EF]\d{4} `)
)

// staticPodsSaid is, redacted, what the static pods that a command waited for said last. kubeadm only says that it waited in vain.
func (t *Task) staticPodsSaid(ctx context.Context, pods []string) []string {
	var lines, silent []string
	for _, pod := range pods {
		said, age := t.staticPodSaid(pod)
		if len(said) == 0 {
			silent = append(silent, pod)
			continue
		}
		lines = append(lines, fmt.Sprintf("-- static pod %s, last heard of %s ago:", pod, age))
		lines = append(lines, said...)
	}
	if len(silent) == 0 {
		return lines
	}
	lines = append(lines, fmt.Sprintf("-- nothing was said on this host by static pod %s; kubelet's last errors:", strings.Join(silent, ", ")))
	return append(lines, t.kubeletErrors(ctx)...)
}

// staticPodSaid is the end of the newest log of a static pod, and how long ago it was written.
func (t *Task) staticPodSaid(pod string) (lines []string, age time.Duration) {
	logs, err := filepath.Glob(t.Sys.Path(podLogs, "kube-system_"+pod+"-*", pod, "*.log"))
	if err != nil {
		return nil, 0
	}
	var newest string
	var written time.Time
	for _, log := range logs {
		if fi, err := os.Stat(log); err == nil && fi.ModTime().After(written) {
			newest, written = log, fi.ModTime()
		}
	}
	if newest == "" {
		return nil, 0
	}
	text, err := os.ReadFile(newest)
	if err != nil {
		return nil, 0
	}
	lines = sys.LastLines(string(text), podLines)
	for i, l := range lines {
		lines[i] = criLine.ReplaceAllString(l, "")
	}
	return redact.New().Lines(lines), t.Sys.Now().Sub(written).Round(time.Second)
}

// kubeletErrors are the last lines of kubelet that tell of errors.
func (t *Task) kubeletErrors(ctx context.Context) []string {
	lines := slices.DeleteFunc(t.unitJournal(ctx, "kubelet.service", kubeletLines), func(l string) bool { return !klogError.MatchString(l) })
	return lines[max(0, len(lines)-podLines):]
}
