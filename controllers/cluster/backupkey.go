package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// ensureBackupKey keeps the Secret <cluster>-backup, which snapshots of etcd are encrypted for. One that exists is used as it is. Unlike
// an authority a missing one is made anew at any time: the cluster does not depend on it, only snapshots taken before do.
func ensureBackupKey(ctx context.Context, s *scope) (phase.Next, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.cluster.Namespace, Name: capi.SecretName(s.cluster.Name, capi.Backup)}
	err := s.Live.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return phase.Continue(), s.makeBackupKey(ctx)
	}
	if err != nil {
		return phase.Stop(), fmt.Errorf("read Secret %s: %w", key, err)
	}
	if err := s.belongs(secret); err != nil {
		s.standing = phase.Stalled(ReasonSecretNotAdopted, err.Error())
		return phase.Stop(), nil
	}
	if _, err := capi.BackupRecipientFrom(secret); err != nil {
		s.standing = phase.Stalled(ReasonBackupKeyBroken, err.Error())
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

func (s *scope) makeBackupKey(ctx context.Context) error {
	secret, err := capi.NewBackupSecret(s.cluster.Namespace, s.cluster.Name, s.owner())
	if err != nil {
		return err
	}
	if err := s.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("create Secret %s: %w", secret.Name, err)
	}
	if s.cluster.Status.InstalledGeneration > 0 {
		s.Events.Eventf(s.cluster, nil, "Warning", "BackupKeyMade", "Backup",
			"made a new Secret %s; snapshots of etcd that were taken before can only be read with the one there was", secret.Name)
	}
	return nil
}
