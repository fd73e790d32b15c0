// Package kernel says which modules and parameters a node's kernel needs, and makes them last over a reboot.
package kernel

import (
	"strings"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Resources lists modules and sysctls. Bridge settings are only given where the kernel offers them to the host.
func Resources(features hostapi.KernelFeatures) []hostapi.Resource {
	modules := []string{"overlay", "nf_conntrack", "nf_tables", "vxlan"}
	sysctls := []hostapi.Sysctl{{Key: "net.ipv4.ip_forward", Value: "1"}}
	if features.BrNetfilter || features.ModulesDir {
		modules = append(modules, "br_netfilter")
		sysctls = append(sysctls, hostapi.Sysctl{Key: "net.bridge.bridge-nf-call-iptables", Value: "1"})
	}
	var resources []hostapi.Resource
	for _, m := range modules {
		resources = append(resources, hostapi.Resource{ID: "module/" + m, Module: &hostapi.Module{Name: m}})
	}
	var conf strings.Builder
	for _, s := range sysctls {
		conf.WriteString(s.Key + " = " + s.Value + "\n")
		resources = append(resources, hostapi.Resource{ID: "sysctl/" + s.Key, Sysctl: &s})
	}
	return append(resources,
		layout.Text("/etc/modules-load.d/kubewright.conf", []byte(strings.Join(modules, "\n")+"\n")),
		layout.Text("/etc/sysctl.d/99-kubewright.conf", []byte(conf.String())),
	)
}
