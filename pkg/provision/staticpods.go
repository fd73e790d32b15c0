package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// configSource is the annotation by which kubelet tells where it has a pod from (k8s.io/kubernetes, kubelettypes.ConfigSourceAnnotationKey).
const configSource = "kubernetes.io/config.source"

// staticPodsRun asks the kubelet of a control plane itself. A kubelet of another minor version reads the same manifest in its own way, takes
// the pod for another one and begins it anew, seconds after it has said that its node is Ready: until then the API knows only of the old
// pod, and who went on to the next control plane would stop etcd there too.
func (k *kube) staticPodsRun(ctx context.Context, host string) error {
	text, err := k.askKubelet(ctx, host, "pods")
	if err != nil {
		return fmt.Errorf("its kubelet does not tell what runs: %w", err)
	}
	var pods corev1.PodList
	if err := json.Unmarshal(text, &pods); err != nil {
		return fmt.Errorf("what its kubelet tells cannot be read: %w", err)
	}
	return staticPodsRun(pods.Items)
}

// staticPodsRun says which static pod does not run, as kubelet sees it; a pod that was not begun has no container statuses.
func staticPodsRun(pods []corev1.Pod) error {
	found := false
	for i := range pods {
		pod := &pods[i]
		if pod.Annotations[configSource] != "file" {
			continue
		}
		found = true
		if len(pod.Status.ContainerStatuses) < len(pod.Spec.Containers) {
			return fmt.Errorf("its static pod %s was not begun yet", pod.Name)
		}
		for _, container := range pod.Status.ContainerStatuses {
			if container.State.Running == nil {
				return fmt.Errorf("%s of its static pod %s does not run", container.Name, pod.Name)
			}
		}
	}
	if !found {
		return errors.New("its kubelet has no static pods yet")
	}
	return nil
}

// apiServerReady asks the API server of one control plane whether it is ready, which it is not without any member of
// etcd that it knows.
func (k *kube) apiServerReady(ctx context.Context, host string) error {
	config, err := k.restOf(host)
	if err != nil {
		return err
	}
	_, err = get(ctx, config, "/readyz")
	return err
}

func get(ctx context.Context, config *rest.Config, path string) ([]byte, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("set up the API client: %w", err)
	}
	return client.RESTClient().Get().AbsPath(path).DoRaw(ctx)
}
