package operation

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// hostKeyRecorder writes down the key of a first use. The Host is read live and written with its resource version, so that of two
// that see a host for the first time one decides, and a key that is recorded already is never replaced: another one is an
// *ssh.OtherKeyError, also when it was recorded by the same operation.
func (r *Reconciler) hostKeyRecorder(namespace string) func(ctx context.Context, host, key string) error {
	return func(ctx context.Context, name, key string) error {
		return onConflict(func() error {
			host := &v1alpha1.Host{}
			if err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, host); err != nil {
				return fmt.Errorf("read host %s: %w", name, err)
			}
			switch host.Status.HostKey {
			case key:
				return nil
			case "":
			default:
				return fmt.Errorf("host %s: %w", name, &ssh.OtherKeyError{Recorded: host.Status.HostKey})
			}
			after := host.DeepCopy()
			after.Status.HostKey = key
			change := client.MergeFromWithOptions(host, client.MergeFromWithOptimisticLock{})
			if err := r.Client.Status().Patch(ctx, after, change); err != nil {
				return fmt.Errorf("record the key of host %s: %w", name, err)
			}
			return nil
		})
	}
}
