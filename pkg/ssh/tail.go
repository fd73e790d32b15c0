package ssh

import (
	"bytes"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// tailSize is how much of standard error is kept: enough for the last lines of a failure, and no more whatever a program floods.
const tailSize = 8 << 10

// tail takes standard error, keeps its end, and reports each time the marker comes by.
type tail struct {
	// marked has one entry for each time the marker came by; more than its capacity are not needed.
	marked chan struct{}

	mu      sync.Mutex
	marker  []byte
	kept    []byte
	pending int // how many bytes at the end of kept have not been searched as the start of a marker
}

func newTail(marker string) *tail {
	return &tail{marked: make(chan struct{}, 4), marker: []byte(marker)}
}

// Write implements io.Writer; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		part := p[:min(len(p), tailSize)]
		p = p[len(part):]
		t.kept = append(t.kept, part...)
		t.search(len(part))
		if over := len(t.kept) - tailSize; over > 0 {
			t.kept = append(t.kept[:0], t.kept[over:]...)
		}
	}
	return n, nil
}

// search looks for markers in the last added bytes and those before that may begin one, and takes them out.
func (t *tail) search(added int) {
	from := len(t.kept) - added - t.pending
	for {
		i := bytes.Index(t.kept[from:], t.marker)
		if i < 0 {
			break
		}
		at := from + i
		t.kept = append(t.kept[:at], t.kept[at+len(t.marker):]...)
		from = at
		select {
		case t.marked <- struct{}{}:
		default:
		}
	}
	t.pending = min(len(t.kept)-from, len(t.marker)-1)
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// redacted is what was kept as a text that can be shown, without the secret should it appear in there.
func (t *tail) redacted(secret func() string) string {
	text := t.String()
	if secret != nil {
		text = withoutSecret(text, secret())
	}
	return inbound.Text(text)
}

// withoutSecret is a text without a secret, also where only the end of the text was kept and that begins within the secret.
func withoutSecret(text, secret string) string {
	text = strings.ReplaceAll(text, secret, redacted)
	for n := len(secret) - 1; n > 2; n-- {
		if strings.HasPrefix(text, secret[len(secret)-n:]) {
			return redacted + text[n:]
		}
	}
	return text
}
