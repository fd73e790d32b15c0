package provision

import (
	"testing"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestWhichStepsShowThatAClusterExists(t *testing.T) {
	for name, test := range map[string]struct {
		step  string
		state engine.State
		want  bool
	}{
		"one that initialised it":                         {plan.StepInit, engine.StateChanged, true},
		"one that found it initialised":                   {plan.StepInit, engine.StateDone, true},
		"a further control plane that joined":             {plan.StepControlPlane, engine.StateChanged, true},
		"etcd members that were seen":                     {plan.StepMembers, engine.StateDone, true},
		"a control plane that is back in service":         {plan.StepCPReturn, engine.StateDone, true},
		"not one that still initialises it":               {plan.StepInit, engine.StateRunning, false},
		"not one that failed to":                          {plan.StepInit, engine.StateFailed, false},
		"not one that was left out":                       {plan.StepInit, engine.StateSkipped, false},
		"not content that was placed before there is one": {plan.StepContent, engine.StateChanged, false},
		"not a control plane that was only prepared":      {plan.StepPrepare, engine.StateChanged, false},
		"not an authority that was placed on the host":    {plan.StepAuthorities, engine.StateDone, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ShowsInitialized(test.step, test.state); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
