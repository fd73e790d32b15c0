package provision

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/steps/dns"
)

const (
	// forwardAnnotation on CoreDNS' ConfigMap notes where this project made it forward to, so that it can be taken back. Without it the
	// Corefile is kubeadm's, or people's own, and is left alone as long as the spec asks for nothing else.
	forwardAnnotation = "kubewright.io/forward"
	corednsConfigMap  = "coredns"
	corefileKey       = "Corefile"
)

// checkForwarding says why cluster DNS does not forward to where it should; "" when it does.
func checkForwarding(ctx context.Context, objects client.Client, want *dns.Forwarding) (string, error) {
	live, corefile, err := forwarding(ctx, objects, want)
	switch {
	case err != nil || live == nil:
		return "", err
	case live.Data[corefileKey] != corefile:
		return "cluster DNS forwards to others than it should", nil
	}
	return "", nil
}

// applyForwarding makes cluster DNS forward to where it should. CoreDNS reads its Corefile again by itself.
func applyForwarding(ctx context.Context, objects client.Client, want *dns.Forwarding) error {
	live, corefile, err := forwarding(ctx, objects, want)
	if err != nil {
		return engine.Retryable(err)
	}
	if live == nil {
		return nil
	}
	var note any
	if *want != nil {
		note = want.String()
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": live.ResourceVersion, "annotations": map[string]any{forwardAnnotation: note}},
		"data":     map[string]string{corefileKey: corefile},
	})
	if err != nil {
		return fmt.Errorf("render ConfigMap %s: %w", corednsConfigMap, err)
	}
	if err := objects.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return engine.Retryable(fmt.Errorf("write ConfigMap %s: %w", corednsConfigMap, err))
	}
	return nil
}

// forwarding reads CoreDNS' ConfigMap and says what its Corefile should be. It is nil when nothing has to be looked at: nobody asks for
// anything and this project changed nothing, people made it forward to where they like, or there is no CoreDNS of kubeadm's.
func forwarding(ctx context.Context, objects client.Client, want *dns.Forwarding) (*corev1.ConfigMap, string, error) {
	if want == nil {
		return nil, "", nil
	}
	var live corev1.ConfigMap
	err := objects.Get(ctx, client.ObjectKey{Namespace: metaSystem, Name: corednsConfigMap}, &live)
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read ConfigMap %s: %w", corednsConfigMap, err)
	}
	if live.Annotations[forwardAnnotation] == "" && (*want == nil || (len(*want) == 0 && !dns.ForwardsToNode(live.Data[corefileKey]))) {
		return nil, "", nil
	}
	corefile, err := dns.SetForwarding(live.Data[corefileKey], *want)
	return &live, corefile, err
}
