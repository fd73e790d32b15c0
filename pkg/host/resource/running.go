package resource

import (
	"context"
	"strings"
	"time"
)

// containersTimeout bounds asking containerd what runs.
const containersTimeout = 30 * time.Second

// onlyContainers leaves out the sandboxes of pods: their image is the one that containerd is configured with, and a running sandbox does
// not need it again.
const onlyContainers = `labels."io.cri-containerd.kind"==container`

// runningImages are the names by which containers of pods that run on this host know their images.
func (t *Task) runningImages(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, containersTimeout)
	defer cancel()
	tasks, err := t.ask(ctx, "tasks", "ls")
	if err != nil {
		return nil, err
	}
	containers, err := t.ask(ctx, "containers", "ls", onlyContainers)
	if err != nil {
		return nil, err
	}
	return imagesOf(tasks, containers), nil
}

// ask runs ctr, and returns the table that it prints.
func (t *Task) ask(ctx context.Context, args ...string) (string, error) {
	out, err := t.Sys.Runner.Run(ctx, append([]string{"ctr", "--namespace", "k8s.io", "--connect-timeout", "5s"}, args...)...)
	if err != nil {
		return "", err
	}
	if out.ExitCode != 0 {
		return "", &notRunningError{why: "containerd does not answer: " + strings.Join(out.LastLines(2), "; ")}
	}
	return out.Stdout, nil
}

// imagesOf joins the tables of "ctr tasks ls" (task, PID, status) and "ctr containers ls" (container, image, runtime). A container whose task
// has ended is kept for a while, and needs nothing.
func imagesOf(tasks, containers string) map[string]bool {
	runs := map[string]bool{}
	for line := range strings.Lines(tasks) {
		if f := strings.Fields(line); len(f) == 3 && f[2] != "STOPPED" {
			runs[f[0]] = true
		}
	}
	images := map[string]bool{}
	for line := range strings.Lines(containers) {
		if f := strings.Fields(line); len(f) == 3 && runs[f[0]] {
			images[f[1]] = true
		}
	}
	return images
}
