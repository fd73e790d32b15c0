// Pause holds a pod's namespaces open. As process 1 of a pod that shares its process namespace it also reaps what others
// leave behind. It knows nothing else.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	// kubeadm looks at a cluster's health before an upgrade by running `pause -v` in a Job, and waits for it to end
	// (cmd/kubeadm/app/phases/upgrade/health.go).
	if slices.Contains(os.Args[1:], "-v") {
		fmt.Println("pause, built by Kubewright")
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "pause: not process 1, children of others will not be reaped")
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap collects every child that has ended; one signal may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
