// Package proxy renders the local proxy that every node reaches the API servers through, so that no load balancer is needed and
// the loss of one control plane cuts off nobody, and that API servers reach other members of etcd through, so that they outlive the loss
// of their own. It runs beside kubelet, not under it: joining needs it before kubelet can start.
package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

const unitName = "kubewright-apiserver-proxy.service"

const configPath = "/etc/kubewright/apiserver-proxy.cfg"

func unit() string {
	return `[Unit]
Description=Local proxy to the Kubernetes API servers and etcd (installed by Kubewright)
After=network.target

[Service]
DynamicUser=yes
ExecStart=` + layout.Tool("haproxy") + ` -db -f ` + configPath + `
Restart=always
RestartSec=1
LimitNOFILE=65536
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
`
}

// Config renders haproxy's configuration for one host: the way to the API servers where the endpoint is the proxy, and on a host that
// runs an API server the way to other members of etcd.
func Config(endpoint desired.Endpoint, controlPlanes []desired.Host, self string) []byte {
	var b strings.Builder
	b.WriteString(`global
    maxconn 4000
    hard-stop-after 1h

defaults
    mode tcp
    timeout connect 2s
    timeout client 24h
    timeout server 24h
    timeout client-fin 10s
    timeout server-fin 10s
    timeout check 3s
    option clitcpka
    option srvtcpka
`)
	local := slices.ContainsFunc(controlPlanes, func(h desired.Host) bool { return h.Name == self })
	if endpoint.Type == v1alpha1.LocalProxyEndpoint {
		writeAPIServers(&b, endpoint, controlPlanes, self, local)
	}
	if local {
		writeMembers(&b, controlPlanes, self)
	}
	return []byte(b.String())
}

// writeAPIServers leads to the API servers. A host that runs one prefers its own; the others take turns.
//
// Health is asked of /readyz over TLS without verifying who answers: only whether to send bytes there depends on it, and clients
// verify the server themselves. An API server that is about to end says so there; it gets no new sessions and keeps the ones it has
// (haproxy's L7OKC) until it ends them itself. Sessions to one that does not answer, or reaches no member of etcd, are closed, so that clients
// with long watches notice at once.
func writeAPIServers(b *strings.Builder, endpoint desired.Endpoint, controlPlanes []desired.Host, self string, local bool) {
	fmt.Fprintf(b, `
frontend apiserver
    bind %s
    default_backend apiservers

backend apiservers
    balance leastconn
    option redispatch
    retries 3
    option httpchk GET /readyz
    http-check expect ! string [-]shutdown error-status L7OKC
    http-check expect status 200
    default-server check check-ssl verify none inter 2s fastinter 500ms downinter 500ms rise 1 fall 2 observe layer4 error-limit 3 on-error mark-down on-marked-down shutdown-sessions
`, endpoint)
	for _, cp := range controlPlanes {
		backup := ""
		if local && cp.Name != self {
			backup = " backup"
		}
		fmt.Fprintf(b, "    server %s %s%s\n", cp.Name, net.JoinHostPort(cp.Address, strconv.Itoa(desired.APIServerPort)), backup)
	}
}

// writeMembers leads an API server to the members of etcd on other control planes. Where there are none it leads to its own, for something
// that answers, because a client of etcd keeps asking a place where nobody is.
//
// Nobody's health is asked: etcd writes a line for each connection that comes without a certificate. Who refuses a connection is passed
// over, and one to a host that has fallen silent is given up after 5 seconds.
func writeMembers(b *strings.Builder, controlPlanes []desired.Host, self string) {
	fmt.Fprintf(b, `
frontend etcd
    bind 127.0.0.1:%d
    default_backend members

backend members
    balance leastconn
    option redispatch 1
    retries 3
    srvtcpka-idle 2s
    srvtcpka-intvl 1s
    srvtcpka-cnt 3
    default-server tcp-ut 5s
`, desired.EtcdProxyPort)
	for _, cp := range controlPlanes {
		if cp.Name != self || len(controlPlanes) == 1 {
			fmt.Fprintf(b, "    server %s %s\n", cp.Name, net.JoinHostPort(cp.Address, strconv.Itoa(desired.EtcdPort)))
		}
	}
}

// Resources lists the proxy's configuration and running unit. Its programs are among the tools.
func Resources(files []bundle.File, config []byte) []hostapi.Resource {
	var resources []hostapi.Resource
	inputs := sha256.New()
	for _, f := range files {
		if f.Kind == bundle.FileTool {
			inputs.Write([]byte(f.Digest))
		}
	}
	inputs.Write(config)
	unit := unit()
	inputs.Write([]byte(unit))
	return append(resources,
		layout.Text(configPath, config),
		layout.Text(layout.UnitDir+"/"+unitName, []byte(unit)),
		hostapi.Resource{ID: "unit/apiserver-proxy", Unit: &hostapi.Unit{
			Name: unitName, Enabled: true, Active: true, Inputs: hex.EncodeToString(inputs.Sum(nil)),
		}},
	)
}
