package provision

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestStaticPodsRunWhenKubeletHasBegunEachOfThem(t *testing.T) {
	pod := func(name, source string, states ...corev1.ContainerState) corev1.Pod {
		p := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{configSource: source}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		}
		for _, s := range states {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "main", State: s})
		}
		return p
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	for name, test := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"all run":                                 {pods: []corev1.Pod{pod("etcd-n1", "file", running), pod("kube-apiserver-n1", "file", running)}},
		"kubelet has not read its manifests yet":  {pods: []corev1.Pod{pod("kube-proxy-x", "api", running)}, want: "no static pods yet"},
		"one is another pod to the new kubelet":   {pods: []corev1.Pod{pod("kube-apiserver-n1", "file", running), pod("etcd-n1", "file")}, want: "etcd-n1 was not begun"},
		"one has ended and is about to be begun":  {pods: []corev1.Pod{pod("etcd-n1", "file", ended)}, want: "main of its static pod etcd-n1 does not run"},
		"pods of the API server are not asked of": {pods: []corev1.Pod{pod("etcd-n1", "file", running), pod("web", "api", ended)}},
	} {
		t.Run(name, func(t *testing.T) {
			err := staticPodsRun(test.pods)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
