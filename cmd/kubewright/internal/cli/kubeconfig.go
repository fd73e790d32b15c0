package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/standalone"
)

// kubeconfigLimit is how long the controllers get to hand out the kubeconfig of a cluster that is ready.
const kubeconfigLimit = 30 * time.Second

// awaitKubeconfig waits for the Secret with the way in to a cluster.
func awaitKubeconfig(ctx context.Context, c client.WithWatch, cluster client.ObjectKey) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kubeconfigLimit)
	defer cancel()
	name := capi.SecretName(cluster.Name, capi.Kubeconfig)
	watch, err := c.Watch(ctx, &corev1.SecretList{}, client.InNamespace(cluster.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)})
	if err != nil {
		return nil, fmt.Errorf("wait for the kubeconfig of %s: %w", cluster, err)
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		if secret, ok := event.Object.(*corev1.Secret); ok {
			if content := capi.KubeconfigFrom(secret); len(content) > 0 {
				return content, nil
			}
		}
	}
	return nil, failed(fmt.Errorf("the cluster %s is ready, but its kubeconfig was not handed out: %w", cluster, context.Cause(ctx)), "run the same command again")
}

func newKubeconfig() *cobra.Command {
	var dir, namespace, to string
	cmd := &cobra.Command{
		Use:   "kubeconfig [CLUSTER]",
		Short: "Print the way in to a cluster that was built",
		Long: `Kubeconfig prints an administrator's kubeconfig of a cluster, or writes it to a file that only you can read.
Without a name it takes the only cluster there is.`,
		Example: `  kubewright kubeconfig > demo.kubeconfig
  kubewright kubeconfig demo -o ~/.kube/demo`,
		Args: atMostOne("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			path, err := stateDir(dir)
			if err != nil {
				return badInput(err, "")
			}
			s, err := session.StartOrAttach(cmd.Context(), path, "kubeconfig", nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			cluster, err := findCluster(cmd.Context(), s.Client, namespace, args)
			if err != nil {
				return err
			}
			content, err := readKubeconfig(cmd.Context(), s.Client, cluster)
			if err != nil {
				return err
			}
			if to != "" {
				return standalone.WriteFile(to, content)
			}
			_, err = cmd.OutOrStdout().Write(content)
			return err
		},
	}
	stateDirFlag(cmd, &dir)
	namespaceFlag(cmd, &namespace)
	cmd.Flags().StringVarP(&to, "output", "o", "", "file to write instead of printing")
	return cmd
}

func readKubeconfig(ctx context.Context, c client.Client, cluster *v1alpha1.Cluster) ([]byte, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, capi.Kubeconfig)}
	err := c.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) || err == nil && len(capi.KubeconfigFrom(secret)) == 0 {
		return nil, failed(fmt.Errorf("the cluster %s/%s has no kubeconfig yet", cluster.Namespace, cluster.Name), "run `kubewright up` until it is ready")
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return freshKubeconfig(ctx, c, cluster, capi.KubeconfigFrom(secret))
}

// freshKubeconfig signs another one when little is left of its certificate's life: nobody renews it while no controllers run.
func freshKubeconfig(ctx context.Context, c client.Client, cluster *v1alpha1.Cluster, content []byte) ([]byte, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, capi.ClusterCA)}
	if err := c.Get(ctx, key, secret); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	ca, err := capi.KeyPairFrom(secret)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if capi.KubeconfigDue(content, cluster.Status.Endpoint, ca).After(now) {
		return content, nil
	}
	return capi.NewKubeconfig(cluster.Name, cluster.Status.Endpoint, ca, now)
}
