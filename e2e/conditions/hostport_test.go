//go:build e2e

package conditions

import (
	"strings"
	"testing"
)

// hostPortPod answers with its name through a port of its host.
const hostPortPod = `apiVersion: v1
kind: Pod
metadata: {name: hostport, namespace: default}
spec:
  tolerations: [{operator: Exists}]
  containers:
  - name: web
    image: docker.io/kubewright/netcheck:v1
    args: [serve, -listen, ":8080"]
    ports: [{containerPort: 8080, hostPort: 18080}]
`

// earlierChain is the CNI configuration of versions that ignored hostPort.
const earlierChain = `{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}
  ]
}
`

// hostPorts are pods that are reached through ports of their hosts.
func hostPorts() []condition {
	return []condition{{
		name: "a pod with hostPort answers on its host, also on a node that was installed before hostPort worked; containerd goes on running",
		running: func(t *testing.T, s *site) {
			s.exec(t, "n1", "rm", "-r", "/opt/cni/bin/kubewright-portmap", "/opt/kubewright/nft", "/opt/kubewright/tools/nft")
			if err := s.fleet.WriteFile(s.ctx, "n1", "/etc/cni/net.d/10-flannel.conflist", 0o644, []byte(earlierChain)); err != nil {
				t.Fatal(err)
			}
			before := s.exec(t, "n1", "pidof", "containerd", "kubelet")
			s.mustUp(t)
			if after := s.exec(t, "n1", "pidof", "containerd", "kubelet"); after != before {
				t.Errorf("containerd and kubelet ran as %q and run as %q", before, after)
			}
			if _, err := s.Kubectl(s.ctx, hostPortPod, "apply", "-f", "-"); err != nil {
				t.Fatal(err)
			}
			s.kubectl(t, "wait", "--for=condition=Ready", "--timeout=2m", "pod/hostport")
			address := strings.TrimSpace(s.kubectl(t, "get", "node", "n1", "-o", "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}"))
			for _, host := range []string{"n1", "n2"} {
				answer := s.exec(t, host, "bash", "-c", `exec 3<>/dev/tcp/`+address+`/18080; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3`)
				if !strings.Contains(answer, "hostport") {
					t.Errorf("%s is answered %q", host, answer)
				}
			}
			if rules := s.exec(t, "n1", "/opt/kubewright/nft/nft", "list", "table", "ip", "cni_hostport"); !strings.Contains(rules, "18080") {
				t.Errorf("the rules are\n%s", rules)
			}
			// Kept for after the reset, which takes the table away.
			s.exec(t, "n1", "cp", "-a", "/opt/kubewright/tools", "/tmp/tools")
		},
		removed: func(t *testing.T, s *site) {
			tables := s.exec(t, "n1", "sh", "-c", "/tmp/tools/ld.so --library-path /tmp/tools /tmp/tools/nft list tables; rm -r /tmp/tools")
			if strings.Contains(tables, "cni_hostport") {
				t.Errorf("left are the tables\n%s", tables)
			}
		},
	}}
}
