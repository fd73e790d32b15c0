//go:build e2e

package secrets

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

// place is where secrets could show up.
type place string

const (
	printed   place = "what the program prints"
	logged    place = "the program's logs"
	objects   place = "objects, events and status"
	metrics   place = "metrics"
	arguments place = "arguments of processes"
	environs  place = "environments of processes"
	journals  place = "journals of hosts"
	files     place = "files of hosts"
	looks     place = "what hosts receive from a look"
)

// places are those whose texts are kept; files are searched where they lie.
func places() []place {
	return []place{printed, logged, objects, metrics, arguments, environs, journals, looks}
}

// hunt holds what was seen, until all secrets are known.
type hunt struct {
	mu    sync.Mutex
	texts map[place]map[origin]string
	// found is what was searched where it lies.
	found map[place]map[origin][]string
}

// origin says where exactly a text came from; with the text's number, since one origin says many things.
type origin struct {
	name   string
	number int
}

func newHunt() *hunt {
	return &hunt{texts: map[place]map[origin]string{}, found: map[place]map[origin][]string{}}
}

// add keeps a text.
func (h *hunt) add(p place, from string, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.texts[p] == nil {
		h.texts[p] = map[origin]string{}
	}
	h.texts[p][origin{from, len(h.texts[p])}] = string(text)
}

// note keeps what was found where it lies; nothing as well, for the count.
func (h *hunt) note(p place, from string, secrets []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.found[p] == nil {
		h.found[p] = map[origin][]string{}
	}
	h.found[p][origin{from, len(h.found[p])}] = secrets
}

// searched is how many texts a place has held, and from where.
func (h *hunt) searched(p place) (texts, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range h.texts[p] {
		bytes += len(text)
	}
	return len(h.texts[p]) + len(h.found[p]), bytes
}

// has says whether anything came from an origin whose name holds a part.
func (h *hunt) has(p place, part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for from := range h.texts[p] {
		if strings.Contains(from.name, part) {
			return true
		}
	}
	return false
}

// hits lists which secrets a place holds, and where, each pair once.
func (h *hunt) hits(p place, finder *planted.Finder) []hit {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []hit
	for from, text := range h.texts[p] {
		for _, secret := range finder.In([]byte(text)) {
			all = append(all, hit{secret, from.name})
		}
	}
	for from, secrets := range h.found[p] {
		for _, secret := range secrets {
			all = append(all, hit{secret, from.name})
		}
	}
	slices.SortFunc(all, func(a, b hit) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}

// hit is a secret where it must not be.
type hit struct{ secret, from string }

// String names both, never the value.
func (h hit) String() string { return fmt.Sprintf("%s is in %s", h.secret, h.from) }
