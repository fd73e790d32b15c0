package capi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxMessage bounds a condition's message, in bytes. The API allows 32768 (metav1.Condition); people read the first lines.
const maxMessage = 2048

// Object is an API object that has conditions.
type Object interface {
	client.Object
	conditions.Setter
}

// SetCondition sets a condition of the object for its present generation. The time of transition moves only with the status. A
// message that is too long is cut.
func SetCondition(object Object, kind string, status metav1.ConditionStatus, reason, message string) {
	conditions.Set(object, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: Cut(message, maxMessage)})
}

// Condition returns a copy of a condition, or nil when the object has none of that type.
func Condition(object Object, kind string) *metav1.Condition {
	return conditions.Get(object, kind)
}

// IsTrue says whether a condition is True, whatever generation it speaks of.
func IsTrue(object Object, kind string) bool { return conditions.IsTrue(object, kind) }

// IsTrueNow says whether a condition is True for the object's present generation.
func IsTrueNow(object Object, kind string) bool {
	condition := conditions.Get(object, kind)
	return condition != nil && condition.Status == metav1.ConditionTrue && condition.ObservedGeneration == object.GetGeneration()
}

// Cut shortens a text to at most limit bytes, at a character's border, and marks that it did.
func Cut(text string, limit int) string {
	const mark = "..."
	if len(text) <= limit || limit <= len(mark) {
		return text
	}
	end := limit - len(mark)
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + mark
}
