//go:build e2e

package install

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// proxyPods are the pods of kube-proxy by node: there is one on each.
func proxyPods(t *testing.T, ctx context.Context, i *kubewright.Installation) map[string]string {
	t.Helper()
	pods := map[string]string{}
	list := kubectl(t, ctx, i, "-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-proxy", "-o", `jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name}{"\n"}{end}`)
	for line := range strings.Lines(list) {
		if node, pod, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			pods[node] = pod
		}
	}
	return pods
}

// logsThrough reads the logs of a pod through the API server of one control plane, which asks the kubelet of the pod's node for them.
func logsThrough(ctx context.Context, fleet *hosts.Fleet, controlPlane, pod string) (string, error) {
	out, err := fleet.Exec(ctx, controlPlane, "/usr/local/bin/kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--server=https://127.0.0.1:6443",
		"--cache-dir=/tmp/kubectl", "--request-timeout=20s", "-n", "kube-system", "logs", pod, "--tail=1")
	return string(out), err
}

// requireVerifiedKubelets wants that every kubelet shows a certificate of the cluster's authority for the address of its node, and that every
// API server reads logs from every node.
func requireVerifiedKubelets(t *testing.T, ctx context.Context, fleet *hosts.Fleet, i *kubewright.Installation) {
	t.Helper()
	authority := kubectl(t, ctx, i, "-n", "kube-system", "get", "configmap", "kube-root-ca.crt", "-o", `jsonpath={.data.ca\.crt}`)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority)) {
		t.Fatal("the cluster publishes no authority")
	}
	pods := proxyPods(t, ctx, i)
	for _, h := range fleet.Hosts() {
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 20 * time.Second}, Config: &tls.Config{RootCAs: roots, ServerName: h.Address.String(), MinVersion: tls.VersionTLS12}}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(h.Address.String(), "10250"))
		if err != nil {
			t.Errorf("the kubelet of %s does not show a certificate of the cluster for its address: %v", h.Name, err)
			continue
		}
		_ = conn.Close()
		for _, controlPlane := range []string{"n1", "n2", "n3"} {
			if out, err := logsThrough(ctx, fleet, controlPlane, pods[h.Name]); err != nil || out == "" {
				t.Errorf("the API server of %s does not read logs from %s: %v\n%s", controlPlane, h.Name, err, out)
			}
		}
	}
	for _, controlPlane := range []string{"n1", "n2", "n3"} {
		if !strings.Contains(run(t, ctx, fleet, controlPlane, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml"), "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt") {
			t.Errorf("the API server of %s does not verify kubelets", controlPlane)
		}
	}
}

// requireRenewal gives the kubelet of a node the certificate of another one, so that it asks the cluster for its own as it does when most of a
// certificate's life is over, and wants that the next run of `kubewright up` has it served with that.
func requireRenewal(t *testing.T, ctx context.Context, fleet *hosts.Fleet, i *kubewright.Installation, host, other string) {
	t.Helper()
	const dir, current = "/var/lib/kubelet/pki", "/var/lib/kubelet/pki/kubelet-server-current.pem"
	foreign := run(t, ctx, fleet, other, "cat", dir+"/kubewright-serving.crt", dir+"/kubewright-serving.key")
	run(t, ctx, fleet, host, "sh", "-c", "umask 077 && echo "+base64.StdEncoding.EncodeToString([]byte(foreign))+" | base64 -d >"+dir+"/kubelet-server-other.pem"+
		" && ln -s "+dir+"/kubelet-server-other.pem "+current+" && systemctl restart kubelet")
	pod := proxyPods(t, ctx, i)[host]
	patience, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	refused := func() bool {
		out, err := logsThrough(patience, fleet, "n1", pod)
		return err != nil && strings.Contains(out+err.Error(), "x509: certificate is valid for")
	}
	asked := func() bool {
		return strings.Contains(kubectl(t, ctx, i, "get", "csr", "--field-selector=spec.signerName=kubernetes.io/kubelet-serving"), "system:node:"+host)
	}
	for !refused() || !asked() {
		select {
		case <-patience.Done():
			t.Fatalf("the certificate of %s is refused: %t, its kubelet has asked for its own: %t", host, refused(), asked())
		case <-time.After(time.Second):
		}
	}
	mustUp(t, ctx, fleet, i)
	if at := run(t, ctx, fleet, host, "readlink", current); strings.Contains(at, "other") {
		t.Errorf("the kubelet of %s still uses %s", host, at)
	}
	requireVerifiedKubelets(t, ctx, fleet, i)
	if out := mustUp(t, ctx, fleet, i); !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("something was changed once more:\n%s", tail(out, 20))
	}
}
