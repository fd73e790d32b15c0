// Package datadir puts the data of etcd, containerd and kubelet into directories of the user's choice: bound by a mount unit to the places
// where programs, CSI plugins among them, expect it. It must not know what the data is.
package datadir

import (
	"path"
	"strings"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Resources lists directories, mounts, and what keeps kubelet and containerd from running without them; nothing for a host whose data is at
// the well-known places. They come before whatever else uses the places.
func Resources(h desired.Host) []hostapi.Resource {
	var resources []hostapi.Resource
	needs := map[string][]string{}
	for _, d := range h.DataDirectories {
		var mode uint32
		user := "kubelet"
		switch d.Place {
		case desired.EtcdPlace:
			// etcd refuses one that others can read (client/pkg/fileutil.PrivateDirMode).
			mode = 0o700
		case desired.ContainerdPlace:
			user = "containerd"
		}
		needs[user] = append(needs[user], d.Place)
		resources = append(resources,
			hostapi.Resource{ID: "dir/data" + d.Path, Dir: &hostapi.Dir{Path: d.Path, Mode: mode, Purge: true}},
			hostapi.Resource{ID: "dir/place" + d.Place, Dir: &hostapi.Dir{Path: d.Place}},
			layout.Text(path.Join(layout.UnitDir, hostapi.MountUnit(d.Place)), []byte(mountUnit(d))),
			hostapi.Resource{ID: "unit/" + hostapi.MountUnit(d.Place), Unit: &hostapi.Unit{Name: hostapi.MountUnit(d.Place), Enabled: true, Active: true}},
		)
	}
	for _, user := range []string{"containerd", "kubelet"} {
		if len(needs[user]) > 0 {
			resources = append(resources, layout.Text(layout.UnitDir+"/"+user+".service.d/10-data-directories.conf",
				[]byte("[Unit]\nRequiresMountsFor="+strings.Join(needs[user], " ")+"\n")))
		}
	}
	return resources
}

// mountUnit asserts that the directory is there, because systemd would make it: where its disk is missing, an empty etcd would begin a
// cluster of its own.
func mountUnit(d desired.DataDirectory) string {
	return `[Unit]
Description=data of ` + d.Field + ` (set up by Kubewright)
AssertPathIsDirectory=` + d.Path + `

[Mount]
What=` + d.Path + `
Where=` + d.Place + `
Type=none
Options=bind

[Install]
WantedBy=multi-user.target
`
}
