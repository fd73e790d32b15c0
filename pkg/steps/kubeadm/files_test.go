package kubeadm_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

func TestFilesThatStaticPodsNeedAreFoundOnTheHost(t *testing.T) {
	const policy = `{"apiServer":{"extraArgs":[{"name":"audit-policy-file","value":"/audit/policy.yaml"}]%s}}`
	for name, c := range map[string]struct {
		override string
		want     []string
	}{
		"nothing is named":                                 {`{}`, nil},
		"an argument without a volume":                     {fmt.Sprintf(policy, ""), []string{"missing apiServer /audit/policy.yaml"}},
		"an argument and the volume it is in":              {fmt.Sprintf(policy, `,"extraVolumes":[{"name":"a","hostPath":"/etc/audit","mountPath":"/audit"}]`), []string{"file /etc/audit/policy.yaml"}},
		"a volume that is the file itself":                 {fmt.Sprintf(policy, `,"extraVolumes":[{"name":"a","hostPath":"/etc/audit.yaml","mountPath":"/audit/policy.yaml","pathType":"File"}]`), []string{"file /etc/audit.yaml", "file /etc/audit.yaml"}},
		"of two volumes the deeper one":                    {fmt.Sprintf(policy, `,"extraVolumes":[{"name":"b","hostPath":"/b","mountPath":"/audit"},{"name":"a","hostPath":"/a","mountPath":"/"}]`), []string{"file /b/policy.yaml"}},
		"a volume of a directory that has to be there":     {`{"scheduler":{"extraVolumes":[{"name":"a","hostPath":"/a","mountPath":"/b","pathType":"Directory"}]}}`, []string{"directory /a"}},
		"a volume that kubelet makes":                      {`{"apiServer":{"extraVolumes":[{"name":"a","hostPath":"/a","mountPath":"/b","pathType":"DirectoryOrCreate"},{"name":"c","hostPath":"/c","mountPath":"/d"}]}}`, nil},
		"what kubeadm brings into the pod":                 {`{"apiServer":{"extraArgs":[{"name":"oidc-ca-file","value":"/etc/ssl/certs/oidc.pem"}]}}`, []string{"file /etc/ssl/certs/oidc.pem"}},
		"what kubeadm makes itself":                        {`{"apiServer":{"extraArgs":[{"name":"requestheader-client-ca-file","value":"/etc/kubernetes/pki/front-proxy-ca.crt"}]},"controllerManager":{"extraArgs":[{"name":"authentication-kubeconfig","value":"/etc/kubernetes/controller-manager.conf"}]}}`, nil},
		"what an API server has is not what scheduler has": {`{"scheduler":{"extraArgs":[{"name":"config","value":"/etc/ssl/certs/scheduler.yaml"}]}}`, []string{"missing scheduler /etc/ssl/certs/scheduler.yaml"}},
		"what is written, or no path at all":               {`{"apiServer":{"extraArgs":[{"name":"audit-log-path","value":"/var/log/audit.log"},{"name":"etcd-prefix","value":"/registry"},{"name":"cloud-config","value":""}]}}`, nil},
		"etcd has arguments, too":                          {`{"etcd":{"local":{"extraArgs":[{"name":"config-file","value":"/etc/etcd.yaml"}]}}}`, []string{"missing etcd.local /etc/etcd.yaml"}},
		"lists of another shape are left to kubeadm":       {`{"scheduler":{"extraArgs":{"config":"/a"},"extraVolumes":"x"}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			files, missing, err := kubeadm.NamedFiles(cluster(t, func(spec *v1alpha1.Cluster) { spec.Spec.Overrides.Kubeadm = raw(c.override) }))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range files {
				kind := "file "
				if f.Dir {
					kind = "directory "
				}
				got = append(got, kind+f.Path)
			}
			for _, err := range missing {
				m, ok := errors.AsType[*kubeadm.MissingMountError](err)
				if !ok {
					t.Fatalf("%T", err)
				}
				got = append(got, "missing "+m.Section+" "+m.Path)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
