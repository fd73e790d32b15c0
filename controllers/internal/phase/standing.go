package phase

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
)

// Standing is the verdict over an object in kstatus' terms: it is ready, or is being worked on, or no progress is possible until a
// person changes something. The zero value means that nothing was found out.
type Standing struct {
	ready       metav1.ConditionStatus
	reconciling bool
	stalled     bool
	reason      string
	message     string
}

// Ready says that the desired state was observed.
func Ready(reason, message string) Standing {
	return Standing{ready: metav1.ConditionTrue, reason: reason, message: message}
}

// Working says that a controller or an operation is on its way there.
func Working(reason, message string) Standing {
	return Standing{ready: metav1.ConditionFalse, reconciling: true, reason: reason, message: message}
}

// Resting says that nothing is being done on purpose, though the desired state was not observed.
func Resting(reason, message string) Standing {
	return Standing{ready: metav1.ConditionFalse, reason: reason, message: message}
}

// Stalled says that somebody has to change something first; message says what.
func Stalled(reason, message string) Standing {
	return Standing{ready: metav1.ConditionFalse, stalled: true, reason: reason, message: message}
}

// ReasonError is given when the API server refused something or did not answer.
const ReasonError = "ReconcileError"

// Failing keeps s, or says why a reconcile failed. Conflicts say nothing about the object.
func (s Standing) Failing(err error) Standing {
	if err == nil || apierrors.IsConflict(err) {
		return s
	}
	return Working(ReasonError, err.Error())
}

// Put writes Ready, Reconciling and Stalled. The zero value leaves conditions as they are, or says Unknown if there are none.
func (s Standing) Put(object capi.Object) {
	if s.ready == "" {
		if capi.Condition(object, v1alpha1.ReadyCondition) != nil {
			return
		}
		s = Standing{ready: metav1.ConditionUnknown, reconciling: true, reason: "New", message: "nothing was found out yet"}
	}
	capi.SetCondition(object, v1alpha1.ReadyCondition, s.ready, s.reason, s.message)
	put(object, v1alpha1.ReconcilingCondition, s.reconciling, s.reason, s.message)
	put(object, v1alpha1.StalledCondition, s.stalled, s.reason, s.message)
}

func put(object capi.Object, kind string, holds bool, reason, message string) {
	if holds {
		capi.SetCondition(object, kind, metav1.ConditionTrue, reason, message)
		return
	}
	capi.SetCondition(object, kind, metav1.ConditionFalse, "Not"+kind, "")
}
