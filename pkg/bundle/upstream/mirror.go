package upstream

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// Mirror says that what is below one place is to be had from another.
type Mirror struct {
	// From is a URL (https://dl.k8s.io), or the beginning of image names (registry.k8s.io, ghcr.io/flannel-io). It stands for whole
	// parts of a path: https://dl.k8s.io is not the beginning of https://dl.k8s.io.example.com.
	From string `json:"from"`
	// To is what stands there instead, of the same sort.
	To string `json:"to"`
}

// Mirrors are tried together: the longest From counts, and of equal ones the first.
type Mirrors []Mirror

// ParseMirror reads FROM=TO.
func ParseMirror(text string) (Mirror, error) {
	from, to, ok := strings.Cut(text, "=")
	if !ok {
		return Mirror{}, fmt.Errorf("mirror %q is not FROM=TO, such as https://dl.k8s.io=https://mirror.example.com/k8s or registry.k8s.io=mirror.example.com/k8s", text)
	}
	m := Mirror{From: from, To: to}
	return m, m.validate()
}

// Validate says what is wrong with the first mirror that is.
func (m Mirrors) Validate() error {
	for _, one := range m {
		if err := one.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (m Mirror) validate() error {
	if isURL(m.From) != isURL(m.To) {
		return fmt.Errorf("mirror %s=%s: one is a URL, the other the beginning of image names; both must be of one sort", m.From, m.To)
	}
	for _, side := range []string{m.From, m.To} {
		source := strings.TrimRight(side, "/") + "/x"
		if !isURL(side) {
			source = "oci://" + source
		}
		if _, err := fetch.ParseSource(source); err != nil {
			return fmt.Errorf("mirror %s=%s: %w", m.From, m.To, err)
		}
	}
	return nil
}

func isURL(s string) bool { return strings.Contains(s, "://") }

// Apply returns where a URL, or an image name without tag, is to be had.
func (m Mirrors) Apply(place string) string {
	best, rest := Mirror{}, ""
	for _, one := range m {
		from := strings.TrimRight(one.From, "/")
		after, ok := strings.CutPrefix(place, from)
		if ok && (after == "" || after[0] == '/') && len(from) > len(best.From) {
			best, rest = Mirror{From: from, To: strings.TrimRight(one.To, "/")}, after
		}
	}
	if best.From == "" {
		return place
	}
	return best.To + rest
}
