package capi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cluster-api/util/annotations"
)

// HasPausedAnnotation says whether an object carries cluster.x-k8s.io/paused, which tools that move objects between management
// clusters set.
func HasPausedAnnotation(object metav1.Object) bool { return annotations.HasPaused(object) }
