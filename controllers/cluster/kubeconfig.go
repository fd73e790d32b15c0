package cluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// handOutKubeconfig keeps the Secret <cluster>-kubeconfig: made when the endpoint is known, made anew when a third of the
// certificate's lifetime is left, or when endpoint or authority are not those of the cluster any more.
func handOutKubeconfig(ctx context.Context, s *scope) (phase.Next, error) {
	if !s.cluster.Status.Initialized || s.cluster.Status.Endpoint == "" {
		return phase.Continue(), nil
	}
	found, err := s.readAuthorities(ctx)
	if err != nil {
		if _, broken := errors.AsType[*brokenError](err); broken {
			return phase.Continue(), nil // ensureAuthorities says so
		}
		if _, foreign := errors.AsType[*capi.ForeignSecretError](err); foreign {
			return phase.Continue(), nil // as above
		}
		return phase.Stop(), err
	}
	ca, ok := found.pairs[capi.ClusterCA]
	if !ok {
		return phase.Continue(), nil // ensureAuthorities says so
	}
	key := client.ObjectKey{Namespace: s.cluster.Namespace, Name: capi.SecretName(s.cluster.Name, capi.Kubeconfig)}
	secret := &corev1.Secret{}
	err = s.Live.Get(ctx, key, secret)
	if client.IgnoreNotFound(err) != nil {
		return phase.Stop(), fmt.Errorf("read Secret %s: %w", key, err)
	}
	missing := apierrors.IsNotFound(err)
	if !missing {
		if err := s.belongs(secret); err != nil {
			s.standing = phase.Stalled(ReasonSecretNotAdopted, err.Error())
			return phase.Stop(), nil
		}
		if due := capi.KubeconfigDue(capi.KubeconfigFrom(secret), s.cluster.Status.Endpoint, ca); due.After(s.Now()) {
			return phase.Later(due.Sub(s.Now())), nil
		}
	}
	content, err := capi.NewKubeconfig(s.cluster.Name, s.cluster.Status.Endpoint, ca, s.Now())
	if err != nil {
		return phase.Stop(), fmt.Errorf("make the kubeconfig: %w", err)
	}
	wanted := capi.KubeconfigSecret(s.cluster.Namespace, s.cluster.Name, content, s.owner())
	if missing {
		err = s.Client.Create(ctx, wanted)
	} else {
		wanted.ResourceVersion = secret.ResourceVersion
		wanted.OwnerReferences, wanted.Annotations, wanted.Type = secret.OwnerReferences, secret.Annotations, secret.Type // a type never changes
		err = s.Client.Update(ctx, wanted)
	}
	if err != nil {
		return phase.Stop(), fmt.Errorf("write Secret %s: %w", key, err)
	}
	return phase.Later(capi.KubeconfigLifetime * 2 / 3), nil
}
