package operation

import (
	"github.com/kubewright/kubewright/pkg/capi"
)

// maxNote is how long the note of an event may be, in bytes (events.k8s.io/v1, Event.note).
const maxNote = 1000

// announce tells people of the operation's begin or end, at the operation and at its cluster, once the status says the same. What goes
// on in the background is not announced: the Cluster's condition InSync tells what came of it.
func (s *scope) announce(kind, reason, message string) {
	if inBackground(s.operation) {
		return
	}
	action := string(s.operation.Spec.Type)
	note := capi.Cut(s.operation.Name+": "+message, maxNote)
	operation, cluster := s.operation.DeepCopy(), s.cluster
	s.written = append(s.written, func() {
		s.Events.Eventf(operation, nil, kind, reason, action, "%s", note)
		if cluster != nil {
			s.Events.Eventf(cluster, operation, kind, reason, action, "%s", note)
		}
	})
}
