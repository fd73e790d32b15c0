// Package staticpod sees from a host alone how the static pods of a control plane are: whether they run, how often they ended, and what they
// said last. It asks neither kubelet nor the API, which may be what does not work. It must not know why anybody asks.
package staticpod

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// logs is where kubelet has containers' output written, as <namespace>_<pod>_<uid>/<container>/<attempt>.log.
	logs = "/var/log/pods"
	// manifests is where kubelet has static pods from (kubeadm's ManifestsSubDirName).
	manifests = "/etc/kubernetes/manifests"
)

// criLine is how the container runtime begins a line of a log: time, stream, and whether the line is whole.
var criLine = regexp.MustCompile(`^\S+ (?:stdout|stderr) [FP] `)

// Wanted says whether the manifest of a pod, named as kubeadm names it without the node's name, is where kubelet reads it.
func Wanted(s *sys.System, pod string) bool {
	return sys.Exists(s.Path(manifests, pod+".yaml"))
}

// Running says whether the program of a pod runs. kubeadm's static pods have one container, which runs the program of the same name.
func Running(s *sys.System, pod string) bool {
	commands, err := filepath.Glob(s.Path("/proc", "[0-9]*", "cmdline"))
	if err != nil {
		return false
	}
	for _, p := range commands {
		line, err := os.ReadFile(p)
		if err != nil {
			continue // it has ended
		}
		program, _, _ := strings.Cut(string(line), "\x00")
		if filepath.Base(program) == pod {
			return true
		}
	}
	return false
}

// Attempts is how often each pod of that name was begun again on this host, by the pod's UID: a manifest with another content is another
// pod. What kubelet has cleared away is not counted.
func Attempts(s *sys.System, pod string) map[string]int {
	attempts := map[string]int{}
	for _, log := range logFiles(s, pod) {
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(log), ".log"))
		if err != nil {
			continue
		}
		dir := filepath.Base(filepath.Dir(filepath.Dir(log)))
		uid := dir[strings.LastIndexByte(dir, '_')+1:]
		attempts[uid] = max(attempts[uid], n)
	}
	return attempts
}

// Said is the end of the newest log of a pod, so many lines at most, redacted, and how long ago it was written; nil when there is none.
func Said(s *sys.System, pod string, most int) (lines []string, age time.Duration) {
	var newest string
	var written time.Time
	for _, log := range logFiles(s, pod) {
		if fi, err := os.Stat(log); err == nil && fi.ModTime().After(written) {
			newest, written = log, fi.ModTime()
		}
	}
	if newest == "" {
		return nil, 0
	}
	text, err := tail(newest)
	if err != nil {
		return nil, 0
	}
	lines = sys.LastLines(text, most)
	for i, l := range lines {
		lines[i] = criLine.ReplaceAllString(l, "")
	}
	return redact.New().Lines(lines), s.Now().Sub(written).Round(time.Second)
}

// tailBytes is how much of the end of a log is read: a log may have 10 MiB (kubelet's containerLogMaxSize).
const tailBytes = 64 << 10

func tail(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	text := make([]byte, min(fi.Size(), tailBytes))
	n, err := f.ReadAt(text, fi.Size()-int64(len(text)))
	if n == 0 && err != nil {
		return "", err
	}
	return string(text[:n]), nil
}

func logFiles(s *sys.System, pod string) []string {
	files, err := filepath.Glob(s.Path(logs, "kube-system_"+pod+"-*", pod, "*.log"))
	if err != nil {
		return nil
	}
	return files
}
