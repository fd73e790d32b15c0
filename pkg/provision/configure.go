package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// Annotations on what Kubewright keeps in a cluster.
const (
	// wantedAnnotation is the digest of what was asked for; the object holds more, because Kubernetes fills in defaults.
	wantedAnnotation = "kubewright.io/wanted"
	// contentAnnotation is the digest of what the object held when that was brought about.
	contentAnnotation = "kubewright.io/content"
	// specAnnotation on kubeadm's ConfigMap is the digest of the spec, hosts left out, that was brought about last.
	specAnnotation = "kubewright.io/spec"
	// startedAnnotation on a pod template makes its pods start anew.
	startedAnnotation = "kubewright.io/configured-with"
)

// kept is one document that kubeadm and kubelets read out of a ConfigMap of kube-system.
type kept struct {
	configMap, key string
	document       map[string]any
}

func documentsOf(a plan.Configure) []kept {
	return []kept{{"kubeadm-config", "ClusterConfiguration", a.Cluster}, {"kubelet-config", "kubelet", a.Kubelet}}
}

// checkConfiguration compares what is kept with what is wanted.
func (k *kube) checkConfiguration(ctx context.Context, a plan.Configure) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return needed(err.Error()), nil //nolint:nilerr // the verdict says it
	}
	verdict := engine.Verdict{State: engine.Done}
	for _, doc := range documentsOf(a) {
		var live corev1.ConfigMap
		if err := objects.Get(ctx, client.ObjectKey{Namespace: metaSystem, Name: doc.configMap}, &live); err != nil {
			return unknown(fmt.Errorf("read ConfigMap %s: %w", doc.configMap, err)), nil
		}
		wanted, _, err := doc.render()
		if err != nil {
			return verdict, err
		}
		var why string
		switch {
		case live.Annotations[wantedAnnotation] == "":
			why = "has not been taken over yet"
		case live.Annotations[wantedAnnotation] != wanted:
			why = "holds another configuration"
		case live.Annotations[contentAnnotation] != digestOf([]byte(live.Data[doc.key])):
			why = "was changed since (by hand?)"
		default:
			continue
		}
		verdict.State = engine.Needed
		verdict.Why = append(verdict.Why, "ConfigMap kube-system/"+doc.configMap+" "+why)
		var have map[string]any
		if err := yaml.Unmarshal([]byte(live.Data[doc.key]), &have); err == nil {
			// Kubernetes fills in defaults only in what it wrote itself.
			ours := live.Annotations[wantedAnnotation] == digestOf([]byte(live.Data[doc.key]))
			for _, line := range k.masked().valueChanges(have, doc.document, ours) {
				verdict.Why = append(verdict.Why, "  "+line)
			}
		}
	}
	why, err := checkForwarding(ctx, objects, a.Forward)
	if err != nil {
		return unknown(err), nil
	}
	if why != "" {
		verdict.State = engine.Needed
		verdict.Why = append(verdict.Why, why)
	}
	return verdict, nil
}

// applyConfiguration writes what is wanted. What kubeadm has just written out of the same is taken over with its defaults.
func (k *kube) applyConfiguration(ctx context.Context, a plan.Configure) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	for _, doc := range documentsOf(a) {
		var live corev1.ConfigMap
		if err := objects.Get(ctx, client.ObjectKey{Namespace: metaSystem, Name: doc.configMap}, &live); err != nil {
			return engine.Retryable(fmt.Errorf("read ConfigMap %s: %w", doc.configMap, err))
		}
		wanted, text, err := doc.render()
		if err != nil {
			return err
		}
		if live.Annotations[wantedAnnotation] == "" && holds(live.Data[doc.key], doc.document) {
			text = live.Data[doc.key]
		}
		if live.Annotations[wantedAnnotation] == wanted && live.Annotations[contentAnnotation] == digestOf([]byte(live.Data[doc.key])) {
			continue
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{wantedAnnotation: wanted, contentAnnotation: digestOf([]byte(text))}},
			"data":     map[string]string{doc.key: text},
		})
		if err != nil {
			return fmt.Errorf("render ConfigMap %s: %w", doc.configMap, err)
		}
		if err := objects.Patch(ctx, &live, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
			return engine.Retryable(fmt.Errorf("write ConfigMap %s: %w", doc.configMap, err))
		}
	}
	return applyForwarding(ctx, objects, a.Forward)
}

// metaSystem is the namespace of Kubernetes' own objects.
const metaSystem = "kube-system"

// render returns the digest of what is wanted, and its text.
func (d kept) render() (digest, text string, err error) {
	out, err := yaml.Marshal(d.document)
	if err != nil {
		return "", "", fmt.Errorf("render %s: %w", d.key, err)
	}
	return digestOf(out), string(out), nil
}

// holds tells that a document has everything of another, whatever else it has.
func holds(text string, want map[string]any) bool {
	var live map[string]any
	if yaml.Unmarshal([]byte(text), &live) != nil {
		return false
	}
	// Both sides have to come from the same parser: numbers differ otherwise.
	plain, err := json.Marshal(want)
	if err != nil {
		return false
	}
	var wanted map[string]any
	if json.Unmarshal(plain, &wanted) != nil {
		return false
	}
	return contains(live, wanted)
}

func contains(live, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return len(w) == 0 && live == nil
		}
		for key, value := range w {
			if !contains(l[key], value) {
				return false
			}
		}
		return true
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(w) {
			return len(w) == 0 && live == nil
		}
		for i := range w {
			if !contains(l[i], w[i]) {
				return false
			}
		}
		return true
	}
	return live == want
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// recorded is the digest of the spec that was brought about last, hosts left out; empty when none was.
func (k *kube) recorded(ctx context.Context) (string, error) {
	objects, err := k.objects()
	if err != nil {
		return "", err
	}
	var live corev1.ConfigMap
	if err := objects.Get(ctx, client.ObjectKey{Namespace: metaSystem, Name: "kubeadm-config"}, &live); err != nil {
		return "", fmt.Errorf("read ConfigMap kubeadm-config: %w", err)
	}
	return live.Annotations[specAnnotation], nil
}

func (k *kube) checkRecord(ctx context.Context, a plan.Record) (engine.Verdict, error) {
	have, err := k.recorded(ctx)
	switch {
	case err != nil:
		return unknown(err), nil
	case have == a.Spec:
		return engine.Verdict{State: engine.Done}, nil
	}
	return needed("another spec is noted as brought about"), nil
}

func (k *kube) applyRecord(ctx context.Context, a plan.Record) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	return k.annotate(ctx, objects, &corev1.ConfigMap{}, "kubeadm-config", map[string]any{"metadata": map[string]any{"annotations": map[string]string{specAnnotation: a.Spec}}})
}

func (k *kube) annotate(ctx context.Context, objects client.Client, object client.Object, name string, change map[string]any) error {
	patch, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("render the annotations of %s: %w", name, err)
	}
	object.SetNamespace(metaSystem)
	object.SetName(name)
	if err := objects.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return engine.Retryable(fmt.Errorf("annotate %s: %w", name, err))
	}
	return nil
}

// checkRollout compares what a DaemonSet's pods were started with. One that was never looked at was started with what is wanted: joining
// hosts and upgrades bring that along.
func (k *kube) checkRollout(ctx context.Context, a plan.Rollout) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return unknown(err), nil
	}
	var live appsv1.DaemonSet
	if err := objects.Get(ctx, client.ObjectKey{Namespace: a.Workload.Namespace, Name: a.Workload.Name}, &live); err != nil {
		return unknown(fmt.Errorf("read DaemonSet %s: %w", a.Workload.Name, err)), nil
	}
	switch live.Annotations[wantedAnnotation] {
	case a.Digest:
		return engine.Verdict{State: engine.Done}, nil
	case "":
		return needed("DaemonSet " + a.Workload.Name + " has not been taken over yet"), nil
	}
	return needed("DaemonSet " + a.Workload.Name + " runs with another configuration"), nil
}

func (k *kube) applyRollout(ctx context.Context, a plan.Rollout) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	var live appsv1.DaemonSet
	if err := objects.Get(ctx, client.ObjectKey{Namespace: a.Workload.Namespace, Name: a.Workload.Name}, &live); err != nil {
		return engine.Retryable(fmt.Errorf("read DaemonSet %s: %w", a.Workload.Name, err))
	}
	change := map[string]any{"metadata": map[string]any{"annotations": map[string]string{wantedAnnotation: a.Digest}}}
	if had := live.Annotations[wantedAnnotation]; had != "" && had != a.Digest {
		change["spec"] = map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{startedAnnotation: a.Digest}}}}
	}
	return k.annotate(ctx, objects, &appsv1.DaemonSet{}, a.Workload.Name, change)
}
