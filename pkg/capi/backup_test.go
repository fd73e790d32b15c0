package capi_test

import (
	"strings"
	"testing"

	"filippo.io/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/pkg/capi"
)

func TestTheKeyOfBackupsIsReadAndJudged(t *testing.T) {
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(map[string][]byte)
		wrong  string
	}{
		"as it was made":                         {func(map[string][]byte) {}, ""},
		"with the identity kept elsewhere":       {func(d map[string][]byte) { delete(d, capi.BackupIdentityName) }, ""},
		"without a recipient":                    {func(d map[string][]byte) { delete(d, capi.BackupRecipientName) }, "under recipient"},
		"with a recipient that is none":          {func(d map[string][]byte) { d[capi.BackupRecipientName] = []byte("age1nobody") }, "under recipient"},
		"with an identity in place of recipient": {func(d map[string][]byte) { d[capi.BackupRecipientName] = d[capi.BackupIdentityName] }, "under recipient"},
		"with an identity that is none":          {func(d map[string][]byte) { d[capi.BackupIdentityName] = []byte("AGE-SECRET-KEY-1") }, "does not belong"},
		"with an identity of another key":        {func(d map[string][]byte) { d[capi.BackupIdentityName] = []byte(other.String()) }, "does not belong"},
	} {
		t.Run(name, func(t *testing.T) {
			secret, err := capi.NewBackupSecret("fleet", "demo", metav1.OwnerReference{})
			if err != nil {
				t.Fatal(err)
			}
			identity := string(secret.Data[capi.BackupIdentityName])
			want := string(secret.Data[capi.BackupRecipientName])
			test.change(secret.Data)
			got, err := capi.BackupRecipientFrom(secret)
			switch {
			case test.wrong == "" && (err != nil || got != want):
				t.Errorf("got %q, %v; want %q", got, err, want)
			case test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)):
				t.Errorf("got %q, %v; want an error that says %q", got, err, test.wrong)
			case err != nil && (strings.Contains(err.Error(), identity) || strings.Contains(err.Error(), "AGE-SECRET-KEY")):
				t.Errorf("the error holds the identity: %v", err)
			}
		})
	}
}
