package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/progress"
)

// hostile is a text that clears a terminal, sets its title and clipboard, turns the direction of what follows, and adds a line.
const hostile = "x\x1b[2J\x1b]0;owned\x07\x1b]52;c;eA==\x07\u202etxt\u2066\u009b31m\u200b\rForged: line"

func TestNoTextOfOthersIsObeyedByATerminal(t *testing.T) {
	conditions := []metav1.Condition{{Type: hostile, Status: "True", Reason: hostile, Message: hostile}}
	for name, write := range map[string]func(io.Writer) error{
		"an error": func(w io.Writer) error {
			report(w, failed(errors.New(hostile), hostile))
			return nil
		},
		"logs of a host": func(w io.Writer) error {
			return writeLogs(w, hostile, hostile, &hostapi.Logs{
				Entries: []hostapi.JournalEntry{{Step: hostile, Resource: hostile, Event: hostile, Message: hostile, Output: []string{hostile}}},
				Runs:    []hostapi.RunLog{{Name: hostile, Lines: []string{hostile}}},
			})
		},
		"a status": func(w io.Writer) error {
			cluster := &v1alpha1.Cluster{}
			cluster.Name, cluster.Status.Conditions, cluster.Status.Version = "demo", conditions, hostile
			cluster.Spec.ControlPlane.Hosts = []string{"n1"}
			host := &v1alpha1.Host{}
			host.Name, host.Status.Conditions = "n1", conditions
			host.Status.Facts = &v1alpha1.HostFacts{Hostname: hostile, OS: hostile, Kernel: hostile, Platform: hostile}
			operation := v1alpha1.ClusterOperation{}
			operation.Status.Conditions = conditions
			operation.Status.Plan = []v1alpha1.PlannedChange{{Host: hostile, Step: hostile, Why: hostile}}
			return writeStatus(w, &follow.Snapshot{Cluster: cluster, Hosts: map[string]*v1alpha1.Host{"n1": host}, Operations: []v1alpha1.ClusterOperation{operation}}, time.Now())
		},
		"a plan": func(w io.Writer) error {
			return progress.Plan(w, progress.Planned{Changes: []v1alpha1.PlannedChange{{Host: hostile, Step: hostile, Why: hostile}}}, true)
		},
		"a plan that waits for approval": func(w io.Writer) error {
			operation := &v1alpha1.ClusterOperation{}
			operation.Name = hostile
			operation.Status.Plan = []v1alpha1.PlannedChange{{Host: hostile, Step: hostile, Why: hostile}}
			return writePlan(w, &follow.Snapshot{}, operation, true)
		},
		"hosts that are left": func(w io.Writer) error {
			return tellQuarantined(w, []progress.LeftHost{{Name: hostile, Quarantined: hostile}})
		},
		"what an API server warns of": func(w io.Writer) error {
			_, err := io.WriteString(w, hostile)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&terminal{&out}); err != nil {
				t.Fatal(err)
			}
			if out.Len() == 0 || strings.ContainsAny(out.String(), "\x1b\a\r\u009b\u202e\u2066\u200b") || strings.Contains(out.String(), "owned") {
				t.Errorf("it wrote %q", out.String())
			}
		})
	}
}

func TestATextOfOthersAddsNoLines(t *testing.T) {
	var out bytes.Buffer
	logs := &hostapi.Logs{
		Entries: []hostapi.JournalEntry{{Step: "s\nForged", Resource: "r\nForged", Message: "m\nForged", Output: []string{"o\nForged"}}},
		Runs:    []hostapi.RunLog{{Name: "n\nForged", Lines: []string{"l\nForged"}}},
	}
	if err := writeLogs(&out, "n1", "demo-install-1", logs); err != nil {
		t.Fatal(err)
	}
	if err := progress.Plan(&out, progress.Planned{Changes: []v1alpha1.PlannedChange{{Host: "h\nForged", Step: "s\nForged", Why: "r\nForged"}}}, true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\nForged") {
		t.Errorf("it wrote %q", out.String())
	}
}
