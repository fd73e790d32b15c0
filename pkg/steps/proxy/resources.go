// Package proxy renders the local proxy that every node reaches the API servers through, so that no load balancer is needed and
// the loss of one control plane cuts off nobody. It runs beside kubelet, not under it: joining needs it before kubelet can start.
package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

const unitName = "kubewright-apiserver-proxy.service"

const configPath = "/etc/kubewright/apiserver-proxy.cfg"

func unit() string {
	return `[Unit]
Description=Local proxy to the Kubernetes API servers (installed by Kubewright)
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

// Config renders haproxy's configuration for one host. A host that runs an API server prefers its own; the others take turns.
//
// Health is asked of /readyz over TLS without verifying who answers: only whether to send bytes there depends on it, and clients
// verify the server themselves. An API server that is about to end says so there; it gets no new sessions and keeps the ones it has
// (haproxy's L7OKC) until it ends them itself. Sessions to one that does not answer, or cannot reach its etcd, are closed, so that clients
// with long watches notice at once.
func Config(endpoint desired.Endpoint, controlPlanes []desired.Host, self string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `global
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
	local := false
	for _, cp := range controlPlanes {
		local = local || cp.Name == self
	}
	for _, cp := range controlPlanes {
		backup := ""
		if local && cp.Name != self {
			backup = " backup"
		}
		fmt.Fprintf(&b, "    server %s %s:%d%s\n", cp.Name, cp.Address, desired.APIServerPort, backup)
	}
	return []byte(b.String())
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
