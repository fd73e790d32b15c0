package resource

import (
	"slices"
	"strings"
)

const (
	// checksFailed is what kubeadm says before the errors of its own checks, and afterChecks begins what it says after them
	// (k8s.io/kubernetes, cmd/kubeadm/app/preflight, handleError).
	checksFailed = "[preflight] Some fatal errors occurred:"
	afterChecks  = "[preflight]"
	// checkError begins the error of one check; the check's name and "]" follow.
	checkError = "[ERROR "
)

// passingChecks are those of kubeadm's checks that may come to another end in a moment: of a container runtime that has just been started, and
// of control planes while they are changed.
var passingChecks = []string{"CRI", "ContainerRuntimeVersion", "ImagePull", "CreateJob", "ControlPlaneNodesReady", "StaticPodManifest"}

// refusals are the errors of kubeadm's own checks, each as one line, when these are why it ended. final says that trying again cannot help.
func refusals(output []string) (errs []string, final bool) {
	from := slices.IndexFunc(output, func(line string) bool { return strings.Contains(line, checksFailed) })
	if from < 0 {
		return nil, false
	}
	for _, line := range output[from+1:] {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, afterChecks) {
			break
		}
		check, isError := strings.CutPrefix(line, checkError)
		switch {
		case isError:
			errs = append(errs, line)
			name, _, _ := strings.Cut(check, "]")
			final = final || !slices.Contains(passingChecks, name)
		case line != "" && len(errs) > 0:
			errs[len(errs)-1] += " " + line // an error of several lines
		}
	}
	return errs, final
}
