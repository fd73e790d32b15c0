package hosts

import (
	"os"
	"strconv"
	"strings"
)

// raiseWatchLimits makes room for the file watches of several systemds, kubelets and container runtimes: hosts share this
// machine's kernel and its limits per user, and the kernel's default of 128 instances is used up by two Kubernetes nodes.
// Without the right to do so the limits stay, and the caller is told.
func raiseWatchLimits(log func(string, ...any)) {
	for name, wanted := range map[string]int{"max_user_instances": 8192, "max_user_watches": 524288} {
		path := "/proc/sys/fs/inotify/" + name
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		have, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || have >= wanted {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(wanted)), 0); err != nil {
			log("fs.inotify.%s is %d, which is little for several nodes; as root: sysctl fs.inotify.%s=%d", name, have, name, wanted)
			continue
		}
		log("raised fs.inotify.%s from %d to %d", name, have, wanted)
	}
}
