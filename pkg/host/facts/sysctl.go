package facts

import (
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Bounds of what is read and told of files that set kernel parameters. People have a dozen of them, of a few KiB. What is left out is what is
// read first, since the last line wins.
const (
	maxSysctlFiles    = 256
	maxSysctlFile     = 256 << 10
	maxSysctlSettings = 16
	maxSysctlValue    = 64
)

// sysctlConf is read by `sysctl --system` after everything else, and not by systemd.
const sysctlConf = "/etc/sysctl.conf"

// sysctlDirs are the directories of sysctl.d(5) and of sysctl(8). Of files with the same name, the one in the first directory hides the
// others.
func sysctlDirs() []string {
	return []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"}
}

// sysctls looks at the kernel parameters that a node depends on.
func sysctls(s *sys.System) []api.SysctlFact {
	var all []api.SysctlFact
	for _, key := range api.NodeSysctls() {
		all = append(all, api.SysctlFact{Key: key, Value: strings.Join(strings.Fields(readLine(s, "/proc/sys/"+strings.ReplaceAll(key, ".", "/"))), " ")})
	}
	for _, file := range sysctlFiles(s) {
		number := 0
		for line := range strings.Lines(readSome(s, file, maxSysctlFile)) {
			number++
			key, value, set := sysctlLine(line)
			i := slices.IndexFunc(all, func(f api.SysctlFact) bool { return f.Key == key })
			if !set || i < 0 {
				continue
			}
			settings := append(all[i].Settings, api.SysctlSetting{File: file, Line: number, Value: value[:min(len(value), maxSysctlValue)]})
			all[i].Settings = settings[max(0, len(settings)-maxSysctlSettings):]
		}
	}
	return all
}

// sysctlFiles lists files in the order in which they are read: by name, whichever directory they are in.
func sysctlFiles(s *sys.System) []string {
	byName := map[string]string{}
	for _, dir := range sysctlDirs() {
		entries, err := os.ReadDir(s.Path(dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := e.Name()
			if byName[name] == "" && !strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".conf") {
				byName[name] = path.Join(dir, name)
			}
		}
	}
	names := slices.Sorted(maps.Keys(byName))
	var files []string
	for _, name := range names[max(0, len(names)-maxSysctlFiles):] {
		files = append(files, byName[name])
	}
	return append(files, sysctlConf)
}

// sysctlLine reads one line, which may name its key with slashes, and begin with a dash to say that errors do not matter.
func sysctlLine(line string) (key, value string, set bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return "", "", false
	}
	key, value, set = strings.Cut(strings.TrimPrefix(line, "-"), "=")
	return strings.ReplaceAll(strings.TrimSpace(key), "/", "."), strings.Join(strings.Fields(value), " "), set
}

// readSome reads the beginning of a regular file, "" when there is none: a link to /dev/null, which hides a file, is as good as an empty one.
func readSome(s *sys.System, path string, most int64) string {
	at, err := s.Resolve(path)
	if err != nil {
		return ""
	}
	if fi, err := os.Stat(s.Path(at)); err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(s.Path(at))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return string(data)
}
