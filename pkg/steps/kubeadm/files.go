package kubeadm

import (
	"fmt"
	"path"
	"strings"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// NamedFile is something on a host that the static pods of a control plane cannot start without.
type NamedFile struct {
	// Field of the Cluster and, behind it, the argument or volume that names it.
	Field string
	// Path on the host.
	Path string
	// Dir says that it has to be a directory; otherwise it must not be one.
	Dir bool
}

// MissingMountError says that an argument names a file that the static pod cannot see.
type MissingMountError struct{ Field, Section, Path string }

// Error says what to do.
func (e *MissingMountError) Error() string {
	return fmt.Sprintf("%s names %s, which no volume brings into the static pod: add one to overrides.kubeadm.%s.extraVolumes (hostPath, mountPath, readOnly)", e.Field, e.Path, e.Section)
}

// component is a static pod of the control plane in kubeadm's ClusterConfiguration.
type component struct {
	// section of the configuration, with dots between its fields.
	section string
	// mounts are directories and files of the host that kubeadm itself brings into the pod, under the path they have there.
	mounts []string
}

// certificateDirs are mounted into API servers and controller managers where a host has them (kubeadm's phases/controlplane, volumes.go).
var certificateDirs = []string{
	layout.PKIDir, "/etc/ssl/certs", "/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
}

func components() []component {
	return []component{
		{section: "apiServer", mounts: certificateDirs},
		{section: "controllerManager", mounts: append([]string{layout.KubernetesDir + "/controller-manager.conf"}, certificateDirs...)},
		{section: "scheduler", mounts: []string{layout.KubernetesDir + "/scheduler.conf"}},
		{section: "etcd.local", mounts: []string{layout.PKIDir + "/etcd", layout.EtcdDataDir}},
	}
}

// NamedFiles lists what the arguments and volumes of a cluster's static pods name on a control plane. The errors are arguments that name what
// no volume brings into the pod, each a *MissingMountError.
func NamedFiles(c *desired.Cluster) (files []NamedFile, missing []error, err error) {
	config, err := ClusterConfiguration(c)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range components() {
		section := config
		for field := range strings.SplitSeq(one.section, ".") {
			section, _ = section[field].(map[string]any)
		}
		volumes := volumesOf(section)
		for _, v := range volumes {
			if must, dir := v.mustExist(); must {
				files = append(files, NamedFile{Field: fmt.Sprintf("extraVolumes of overrides.kubeadm.%s: volume %s", one.section, v.name), Path: v.hostPath, Dir: dir})
			}
		}
		for _, a := range list(section["extraArgs"]) {
			name, value := text(a["name"]), text(a["value"])
			if !namesFile(name) || !path.IsAbs(value) {
				continue
			}
			field := fmt.Sprintf("overrides.kubeadm.%s.extraArgs: %s", one.section, name)
			at, seen := onHost(path.Clean(value), volumes, one.mounts)
			if !seen {
				missing = append(missing, &MissingMountError{Field: field, Section: one.section, Path: value})
				continue
			}
			if !ownFile(at) {
				files = append(files, NamedFile{Field: field, Path: at})
			}
		}
	}
	return files, missing, nil
}

// namesFile says whether the value of an argument is a file that is read: audit-policy-file, authentication-config, kubeconfig and the like.
func namesFile(argument string) bool {
	for _, end := range []string{"file", "config", "kubeconfig"} {
		if argument == end || strings.HasSuffix(argument, "-"+end) {
			return true
		}
	}
	return false
}

// ownFile says whether kubeadm makes a file itself, which is not there before a host joins.
func ownFile(p string) bool {
	return strings.HasPrefix(p, layout.PKIDir+"/") || path.Dir(p) == layout.KubernetesDir && path.Ext(p) == ".conf"
}

// onHost is where a path of the pod lies on the host; not seen when nothing there comes from the host.
func onHost(p string, volumes []volume, mounts []string) (at string, seen bool) {
	depth := -1
	for _, v := range volumes {
		if rest, ok := below(p, v.mountPath); ok && len(v.mountPath) > depth {
			at, seen, depth = path.Join(v.hostPath, rest), true, len(v.mountPath)
		}
	}
	if seen {
		return at, true
	}
	for _, m := range mounts {
		if _, ok := below(p, m); ok {
			return p, true
		}
	}
	return "", false
}

func below(p, dir string) (rest string, ok bool) {
	if p == dir {
		return "", true
	}
	return strings.CutPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// volume is an entry of extraVolumes.
type volume struct{ name, hostPath, mountPath, pathType string }

// mustExist says whether kubelet refuses to start the pod where the path is not there (k8s.io/api, HostPathType).
func (v volume) mustExist() (must, dir bool) {
	switch v.pathType {
	case "Directory":
		return true, true
	case "File", "Socket", "CharDevice", "BlockDevice":
		return true, false
	}
	return false, false
}

func volumesOf(section map[string]any) []volume {
	var volumes []volume
	for _, v := range list(section["extraVolumes"]) {
		one := volume{name: text(v["name"]), hostPath: path.Clean(text(v["hostPath"])), mountPath: path.Clean(text(v["mountPath"])), pathType: text(v["pathType"])}
		if path.IsAbs(one.hostPath) && path.IsAbs(one.mountPath) {
			volumes = append(volumes, one)
		}
	}
	return volumes
}

// list is a list of objects; what has another shape is kubeadm's to refuse.
func list(value any) []map[string]any {
	items, _ := value.([]any)
	var objects []map[string]any
	for _, i := range items {
		if object, ok := i.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

func text(value any) string {
	s, _ := value.(string)
	return s
}
