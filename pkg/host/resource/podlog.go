package resource

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/staticpod"
)

const (
	// podLines is how many lines of a static pod, or of kubelet where there is no such pod, go into an error.
	podLines = 8
	// kubeletLines is how far back kubelet's errors are looked for.
	kubeletLines = 200
)

// klogError is how a component of Kubernetes begins a line that tells of an error.
var klogError = regexp.MustCompile(`^[EF]\d{4} `)

// staticPodsSaid is, redacted, what the static pods that a command waited for said last. kubeadm only says that it waited in vain.
func (t *Task) staticPodsSaid(ctx context.Context, pods []string) []string {
	var lines, silent []string
	for _, pod := range pods {
		said, age := staticpod.Said(t.Sys, pod, podLines)
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

// kubeletErrors are the last lines of kubelet that tell of errors.
func (t *Task) kubeletErrors(ctx context.Context) []string {
	lines := slices.DeleteFunc(t.unitJournal(ctx, "kubelet.service", kubeletLines), func(l string) bool { return !klogError.MatchString(l) })
	return lines[max(0, len(lines)-podLines):]
}
