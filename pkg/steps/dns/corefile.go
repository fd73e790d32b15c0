package dns

import (
	"fmt"
	"slices"
	"strings"
)

// forwardOptions is what kubeadm's Corefile says beside the name servers (phases/addons/dns, coreDNSConfigMap).
const forwardOptions = "max_concurrent 1000"

// forwarder is where the plugin forward stands in a Corefile: the lines [from, to), of the server block whose lines end before end.
type forwarder struct {
	from, to, end int
}

// SetForwarding changes where a Corefile forwards names outside the cluster to, and nothing else in it. It is an error when there is no
// server block for all names.
func SetForwarding(corefile string, f Forwarding) (string, error) {
	lines := strings.Split(corefile, "\n")
	at, found := findForwarder(lines)
	if !found {
		return "", fmt.Errorf("the Corefile in ConfigMap kube-system/coredns has no server block for all names (such as `.:53 {`): put one back")
	}
	target := ResolvConf
	if f != nil {
		target = strings.Join(f, " ")
	}
	switch {
	case f != nil && len(f) == 0:
		lines = slices.Delete(lines, at.from, at.to)
	case at.from < at.to:
		lines[at.from] = directed(lines[at.from], target)
	default:
		lines = slices.Insert(lines, at.end, "    forward . "+target+" {", "       "+forwardOptions, "    }")
	}
	return strings.Join(lines, "\n"), nil
}

// ForwardsToNode reports whether a Corefile forwards names outside the cluster to the name servers of the node.
func ForwardsToNode(corefile string) bool {
	lines := strings.Split(corefile, "\n")
	at, found := findForwarder(lines)
	return found && at.from < at.to && slices.Contains(strings.Fields(lines[at.from]), ResolvConf)
}

// directed gives a line of the plugin forward another target, and leaves how it is indented and whether options follow.
func directed(line, target string) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if strings.HasSuffix(strings.TrimSpace(line), "{") {
		target += " {"
	}
	return indent + "forward . " + target
}

// findForwarder looks for the plugin forward in the first server block for all names. Blocks open with a brace at the end of a line and
// close with one on a line of its own, as in every Corefile that CoreDNS takes.
func findForwarder(lines []string) (forwarder, bool) {
	depth, inside := 0, false
	at := forwarder{from: -1}
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		opens, closes := words[len(words)-1] == "{", words[0] == "}"
		if depth == 0 && opens {
			inside = servesAll(words)
		}
		if inside && depth == 1 && words[0] == "forward" && len(words) > 1 && words[1] == "." {
			at.from, at.to = i, i+1
		}
		switch {
		case closes:
			depth--
		case opens:
			depth++
		}
		if inside && closes && depth == 1 && at.from >= 0 && at.to == at.from+1 && strings.HasSuffix(strings.TrimSpace(lines[at.from]), "{") {
			at.to = i + 1
		}
		if inside && closes && depth == 0 {
			at.end = i
			if at.from < 0 {
				at.from, at.to = i, i
			}
			return at, true
		}
	}
	return at, false
}

// servesAll tells a server block for all names by the words of its first line.
func servesAll(words []string) bool {
	return slices.ContainsFunc(words[:len(words)-1], func(w string) bool { return w == "." || strings.HasPrefix(w, ".:") })
}
