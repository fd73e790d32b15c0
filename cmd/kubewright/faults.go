//go:build faults

package main

import (
	"os"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/faults"
	"github.com/kubewright/kubewright/pkg/provision"
)

// runnerOptions lets tests end this program at the boundaries of steps. Only a program built with the tag faults can do so.
func runnerOptions() provision.Options {
	points, err := faults.Parse(os.Getenv(faults.Variable))
	if err != nil {
		_, _ = os.Stderr.WriteString("Error: " + err.Error() + "\n")
		os.Exit(2)
	}
	killer := &faults.Killer{Points: points, Kill: faults.KillThisProcess}
	return provision.Options{Sink: killer, AfterApply: killer.AfterApply}
}
