package phase

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
)

func TestOnlyAConflictIsLookedAtAgainSoonAndInSilence(t *testing.T) {
	kind := schema.GroupResource{Group: "kubewright.io", Resource: "clusteroperations"}
	for name, test := range map[string]struct {
		err   error
		quiet bool
	}{
		"somebody else wrote first":   {fmt.Errorf("write the status: %w", apierrors.NewConflict(kind, "demo", errors.New("changed"))), true},
		"somebody else has that name": {fmt.Errorf("create operation demo: %w", apierrors.NewAlreadyExists(kind, "demo")), false},
		"the API server is away":      {errors.New("connection refused"), false},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Settle(reconcile.Result{}, test.err)
			if test.quiet != (err == nil) || test.quiet != (result.RequeueAfter > 0) {
				t.Errorf("%v, %v", result, err)
			}
			object := &v1alpha1.ClusterOperation{}
			Ready("Succeeded", "").Failing(test.err).Put(object)
			ready := capi.Condition(object, v1alpha1.ReadyCondition)
			if test.quiet != (ready.Reason == "Succeeded") || !test.quiet && ready.Message != test.err.Error() {
				t.Errorf("Ready is %s: %q", ready.Reason, ready.Message)
			}
		})
	}
}
