// Package tools places programs that stand by themselves on a host, and sets the route to Service addresses where a host needs one.
package tools

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Resources lists the tools' files.
func Resources(files []bundle.File) []hostapi.Resource {
	var resources []hostapi.Resource
	for _, f := range files {
		if f.Kind == bundle.FileTool {
			resources = append(resources, layout.Place(f))
		}
	}
	return resources
}

const routeUnit = "kubewright-service-route.service"

// ServiceRoute gives a host without a default route a way to Service addresses. The kernel looks for a route before kube-proxy's
// rules rewrite the destination, so without one the host's own processes, the API server's calls to webhooks and aggregated APIs
// among them, fail with "network is unreachable". Nothing is ever sent along this route as it stands.
func ServiceRoute(serviceCIDR, device, source string) []hostapi.Resource {
	route := serviceCIDR + " dev " + device + " src " + source
	unit := `[Unit]
Description=Route to Service addresses on a host without default route (installed by Kubewright)
After=network-online.target
Wants=network-online.target
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + layout.Tool("ip") + ` route replace ` + route + `
ExecStop=-` + layout.Tool("ip") + ` route del ` + route + `

[Install]
WantedBy=multi-user.target
`
	sum := sha256.Sum256([]byte(unit))
	return []hostapi.Resource{
		layout.Text(layout.UnitDir+"/"+routeUnit, []byte(unit)),
		{ID: "unit/service-route", Unit: &hostapi.Unit{Name: routeUnit, Enabled: true, Active: true, Inputs: hex.EncodeToString(sum[:])}},
	}
}
