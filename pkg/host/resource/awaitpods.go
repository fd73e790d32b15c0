package resource

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/staticpod"
)

const (
	// longestBackOff is how long kubelet holds a container back at most that ended again and again (k8s.io/kubernetes, pkg/kubelet,
	// MaxContainerBackOff), and podSlack what starting it takes then.
	longestBackOff = 5 * time.Minute
	podSlack       = 30 * time.Second
	// podPoll is how often static pods are looked for.
	podPoll = 500 * time.Millisecond
)

// awaitStaticPods waits, before a command is done again, until the static pods that it is going to wait for run: kubelet may hold one back
// from starting again, and a command that exchanges others meanwhile waits for it in vain, puts them back, and so makes the next wait
// longer. One that does not come in the longest such time has another trouble, which the command may be there to end.
func (t *Task) awaitStaticPods(ctx context.Context, r *api.Resource, c *api.Command) error {
	if receipt, err := detach.ReadReceipt(t.Sys, c.Name); err != nil || receipt == nil {
		return err // without one it was never done, and what it waits for need not be there
	}
	end := time.NewTimer(longestBackOff + podSlack)
	defer end.Stop()
	tick := time.NewTicker(podPoll)
	defer tick.Stop()
	said := ""
	for {
		away := t.podAway(c.StaticPods)
		if away == "" {
			return nil
		}
		if said != away {
			t.say(r, fmt.Sprintf("wait until kubelet starts static pod %s again, which takes up to %s when it ended several times", away, longestBackOff))
			said = away
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-tick.C:
		}
	}
}

// podAway is the first of the pods that should run here and does not.
func (t *Task) podAway(pods []string) string {
	for _, pod := range pods {
		if staticpod.Wanted(t.Sys, pod) && !staticpod.Running(t.Sys, pod) {
			return pod
		}
	}
	return ""
}
