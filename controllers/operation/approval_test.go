package operation

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhatTheNextAttemptIsHeldTo(t *testing.T) {
	const digest = "sha256:1"
	changed := []v1alpha1.OperationStep{{ID: "connect", Changed: 3}, {ID: "kubelet/config", Changed: 1}}
	for name, test := range map[string]struct {
		approval     v1alpha1.Approval
		policy       v1alpha1.OperationPolicy
		mode         v1alpha1.OperationMode
		given        string
		phase        v1alpha1.OperationPhase
		steps        []v1alpha1.OperationStep
		plans, waits bool
		heldTo       string
	}{
		"one that needs no approval is held to nothing": {approval: v1alpha1.ApprovalNotRequired, mode: v1alpha1.ApplyMode},
		"one that a Manual cluster was given by hand is approved like any other": {
			approval: v1alpha1.ApprovalNotRequired, policy: v1alpha1.ManualOperations, mode: v1alpha1.ApplyMode, plans: true},
		"one that a Manual cluster was given by hand is held to its plan": {
			approval: v1alpha1.ApprovalNotRequired, policy: v1alpha1.ManualOperations, mode: v1alpha1.ApplyMode, given: digest, phase: v1alpha1.OperationAwaitingApproval, heldTo: digest},
		"one that only plans needs no approval for it":             {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.PlanMode},
		"one without approval plans":                               {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, plans: true},
		"one that shows its plan waits":                            {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, phase: v1alpha1.OperationAwaitingApproval, plans: true, waits: true},
		"approval of another plan counts for nothing":              {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, given: "sha256:2", phase: v1alpha1.OperationAwaitingApproval, plans: true, waits: true},
		"an approved one is held to its plan":                      {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, given: digest, phase: v1alpha1.OperationAwaitingApproval, heldTo: digest},
		"what the plan would change was not changed":               {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, given: digest, phase: v1alpha1.OperationAwaitingApproval, steps: changed, heldTo: digest},
		"one interrupted before it changed anything is held too":   {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, given: digest, phase: v1alpha1.OperationRunning, steps: changed[:1], heldTo: digest},
		"one interrupted in the middle of its plan goes on freely": {approval: v1alpha1.ApprovalRequired, mode: v1alpha1.ApplyMode, given: digest, phase: v1alpha1.OperationRunning, steps: changed},
	} {
		t.Run(name, func(t *testing.T) {
			o := &v1alpha1.ClusterOperation{
				Spec: v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation, Mode: test.mode, Approval: test.approval},
				Status: v1alpha1.ClusterOperationStatus{
					Phase: test.phase, PlanDigest: digest, Steps: test.steps, Plan: []v1alpha1.PlannedChange{{Step: "kubelet/config", Host: "w1"}},
				},
			}
			if test.given != "" {
				o.Annotations = map[string]string{v1alpha1.ApproveAnnotation: test.given}
			}
			c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{OperationPolicy: test.policy}}
			if mustPlan(o, c) != test.plans || awaitsApproval(o) != test.waits || planToHold(o, c) != test.heldTo {
				t.Errorf("it plans: %t, waits: %t, is held to %q", mustPlan(o, c), awaitsApproval(o), planToHold(o, c))
			}
			if test.given != "" && test.waits && !strings.Contains(approvalMessage(o), test.given) {
				t.Errorf("the approval that does not count is not named: %s", approvalMessage(o))
			}
		})
	}
}

func TestAnOperationWithoutADigestIsNotApprovedByAnEmptyAnnotation(t *testing.T) {
	o := &v1alpha1.ClusterOperation{Spec: v1alpha1.ClusterOperationSpec{Mode: v1alpha1.ApplyMode, Approval: v1alpha1.ApprovalRequired}}
	o.Annotations = map[string]string{v1alpha1.ApproveAnnotation: ""}
	if approved(o) || !mustPlan(o, &v1alpha1.Cluster{}) {
		t.Error("it counts as approved")
	}
}

func TestWhereAnOperationStopped(t *testing.T) {
	for name, test := range map[string]struct {
		steps []v1alpha1.OperationStep
		want  string
	}{
		"before anything": {nil, "stopped at a safe point after 0 of 0 steps"},
		"between steps": {
			[]v1alpha1.OperationStep{{ID: "connect", Hosts: 2, Done: 2}, {ID: "left-out", Hosts: 2, State: v1alpha1.StepSkipped}, {ID: "worker/upgrade", Hosts: 2}},
			"stopped at a safe point after 2 of 3 steps",
		},
		"in the middle of a rollout": {
			[]v1alpha1.OperationStep{{ID: "connect", Hosts: 5, Done: 5}, {ID: "worker/upgrade", Hosts: 5, Done: 1, Changed: 2}, {ID: "worker/uncordon", Hosts: 5, Changed: 3}},
			"stopped at a safe point after 1 of 3 steps, worker/upgrade on 3 of 5 hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stoppedAt(test.steps); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
