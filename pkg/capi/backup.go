package capi

import (
	"fmt"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Backup is the key that a cluster's etcd snapshots are encrypted for. Cluster API has none; the Secret is of the same shape.
const Backup Purpose = "backup"

// Keys of the Backup Secret.
const (
	// BackupIdentityName holds the age identity (X25519, AGE-SECRET-KEY-1...), which reads snapshots. It may be kept elsewhere.
	BackupIdentityName = "identity"
	// BackupRecipientName holds the age recipient (age1...), which snapshots are encrypted for.
	BackupRecipientName = "recipient"
)

// NewBackupSecret makes a fresh key to encrypt snapshots for.
func NewBackupSecret(namespace, cluster string, owner metav1.OwnerReference) (*corev1.Secret, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make the key of backups: %w", err)
	}
	return newSecret(namespace, cluster, Backup, owner, map[string][]byte{
		BackupIdentityName:  []byte(identity.String()),
		BackupRecipientName: []byte(identity.Recipient().String()),
	}), nil
}

// BackupRecipientFrom reads whom snapshots are encrypted for. A Secret without the identity will do. The error names the Secret and the
// key that is wrong, never a value.
func BackupRecipientFrom(s *corev1.Secret) (string, error) {
	recipient, err := age.ParseX25519Recipient(string(s.Data[BackupRecipientName]))
	if err != nil {
		return "", fmt.Errorf("the Secret %s/%s has no age recipient (age1...) under %s: restore it from a backup, or delete it, and a new one is made",
			s.Namespace, s.Name, BackupRecipientName)
	}
	text, kept := s.Data[BackupIdentityName]
	if !kept {
		return recipient.String(), nil
	}
	identity, err := age.ParseX25519Identity(string(text))
	if err != nil || identity.Recipient().String() != recipient.String() {
		return "", fmt.Errorf("the %s in the Secret %s/%s does not belong to its %s, so nobody could read what is encrypted for it: restore it from a backup",
			BackupIdentityName, s.Namespace, s.Name, BackupRecipientName)
	}
	return recipient.String(), nil
}
