package provision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// managedAnnotation on a node lists the labels and taints that come from its pool, so that those the pool does not name any more can be
// told from those of people and controllers.
const managedAnnotation = "kubewright.io/managed"

// managed is what managedAnnotation holds.
type managed struct {
	Labels []string `json:"labels,omitempty"`
	// Taints as key:effect.
	Taints []string `json:"taints,omitempty"`
}

// reconciled says how a node's labels and taints differ from its pool's, and the merge patch that puts it right. It leaves alone what
// never came from the pool.
func reconciled(node *corev1.Node, labels map[string]string, taints []corev1.Taint) (patch map[string]any, why []string) {
	var had managed
	// An annotation that cannot be read is written anew; nothing is removed on its account.
	_ = json.Unmarshal([]byte(node.Annotations[managedAnnotation]), &had)
	want := managed{Labels: slices.Sorted(maps.Keys(labels))}
	change := map[string]any{}
	for _, key := range want.Labels {
		if have, ok := node.Labels[key]; !ok || have != labels[key] {
			change[key] = labels[key]
			why = append(why, fmt.Sprintf("label %s is %q, %q is wanted", key, have, labels[key]))
		}
	}
	for _, key := range had.Labels {
		if _, wanted := labels[key]; wanted {
			continue
		}
		if _, there := node.Labels[key]; there {
			change[key] = nil
			why = append(why, fmt.Sprintf("label %s is not wanted any more", key))
		}
	}
	kept, taintWhy := reconciledTaints(node.Spec.Taints, had.Taints, taints)
	why = append(why, taintWhy...)
	for _, t := range taints {
		want.Taints = append(want.Taints, taintKey(t))
	}
	slices.Sort(want.Taints)
	note, err := json.Marshal(want)
	if err != nil || len(why) == 0 && string(note) == node.Annotations[managedAnnotation] {
		return nil, nil
	}
	if len(why) == 0 && len(labels)+len(taints)+len(had.Labels)+len(had.Taints) == 0 {
		return nil, nil
	}
	if len(why) == 0 {
		why = []string{"what its pool manages is not noted yet"}
	}
	patch = map[string]any{"metadata": map[string]any{"labels": change, "annotations": map[string]any{managedAnnotation: string(note)}}}
	if len(taintWhy) > 0 {
		patch["spec"] = map[string]any{"taints": kept}
	}
	return patch, why
}

// reconciledTaints returns all taints a node shall have: those of others as they are, then the pool's.
func reconciledTaints(have []corev1.Taint, managed []string, want []corev1.Taint) (kept []corev1.Taint, why []string) {
	wanted := map[string]corev1.Taint{}
	for _, t := range want {
		wanted[taintKey(t)] = t
	}
	seen := map[string]bool{}
	for _, t := range have {
		key := taintKey(t)
		w, isWanted := wanted[key]
		switch {
		case isWanted:
			seen[key] = true
			if w.Value != t.Value {
				why = append(why, fmt.Sprintf("taint %s is %q, %q is wanted", key, t.Value, w.Value))
				t.Value = w.Value
			}
			kept = append(kept, t)
		case slices.Contains(managed, key):
			why = append(why, "taint "+key+" is not wanted any more")
		default:
			kept = append(kept, t)
		}
	}
	for _, t := range want {
		if !seen[taintKey(t)] {
			why = append(why, "taint "+taintKey(t)+" is missing")
			kept = append(kept, t)
		}
	}
	if kept == nil {
		kept = []corev1.Taint{}
	}
	return kept, why
}

func taintKey(t corev1.Taint) string { return t.Key + ":" + string(t.Effect) }
