// Package kernel says which modules and parameters a node's kernel needs, and makes them last over a reboot.
package kernel

import (
	"slices"
	"strings"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// formerConf is the name that ConfPath had in earlier versions. Files of others easily sorted after it.
const formerConf = "/etc/sysctl.d/99-kubewright.conf"

// Resources lists modules and sysctls. Bridge settings are only given where the kernel offers them to the host.
func Resources(facts *hostapi.Facts) []hostapi.Resource {
	modules := []string{"overlay", "nf_conntrack", "nf_tables", "vxlan"}
	if bridges(facts) {
		modules = append(modules, "br_netfilter")
	}
	var resources []hostapi.Resource
	for _, m := range modules {
		resources = append(resources, hostapi.Resource{ID: "module/" + m, Module: &hostapi.Module{Name: m}})
	}
	var conf strings.Builder
	for _, s := range parameters(facts) {
		resources = append(resources, hostapi.Resource{ID: "sysctl/" + s.Key, Sysctl: &s})
		if !s.AtLeast || lasting(facts, s) {
			conf.WriteString(s.Key + " = " + s.Value + "\n")
		}
	}
	resources = append(resources,
		layout.Text("/etc/modules-load.d/kubewright.conf", []byte(strings.Join(modules, "\n")+"\n")),
		layout.Text(ConfPath, []byte(conf.String())),
	)
	if slices.Contains(facts.OwnedPaths, formerConf) {
		resources = append(resources, hostapi.Resource{ID: "absent" + formerConf, Absent: &hostapi.Absent{Path: formerConf}})
	}
	return resources
}

// bridges says that packets over a bridge of this host may pass the firewall, or could once a module is loaded.
func bridges(facts *hostapi.Facts) bool {
	return facts.Features.BrNetfilter || facts.Features.ModulesDir
}
