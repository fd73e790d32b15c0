package preflight

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/steps/kernel"
)

// kernelParameters names the lines of other files that would take from a node what it needs, at the next boot or when somebody has the files
// read again. A node that runs is told so; low limits do not keep a host from becoming one.
func kernelParameters(j *judge) {
	var wrong, low []string
	for _, o := range kernel.OverruledBy(j.facts) {
		line := fmt.Sprintf("%s:%d sets %s = %s", o.Setting.File, o.Setting.Line, o.Want.Key, o.Setting.Value)
		if o.Want.AtLeast {
			low = append(low, fmt.Sprintf("%s (nodes should have %s or more)", line, o.Want.Value))
		} else {
			wrong = append(wrong, fmt.Sprintf("%s (nodes need %s)", line, o.Want.Value))
		}
	}
	say := func(tell func(check, message string), lines []string) {
		if len(lines) > 0 {
			tell("KernelParameters", fmt.Sprintf("%s, which is read after %s and so wins at boot or with `sysctl --system`; remove the line or change it",
				strings.Join(lines, ", "), kernel.ConfPath))
		}
	}
	if j.ours() {
		say(j.note, wrong)
	} else {
		say(j.object, wrong)
	}
	say(j.note, low)
}
