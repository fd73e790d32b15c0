package engine

import (
	"strings"
	"unicode/utf8"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// Bounds of what one event may carry, in bytes. Events end in the status of objects, whose size the API server limits.
const (
	maxMessage = 1024
	maxOutput  = 4096
)

// head returns the beginning of s, at most limit bytes and whole characters, and says so when something is missing.
func head(s string, limit int) string {
	s = inbound.Text(s)
	if len(s) <= limit {
		return s
	}
	const more = " …"
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

// tail returns the end of s, at most limit bytes and whole characters: the last lines of an output are the ones that tell.
func tail(s string, limit int) string {
	s = inbound.Text(s)
	if len(s) <= limit {
		return s
	}
	cut := len(s) - limit
	for cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut++
	}
	return s[cut:]
}

// reasons joins the lines of a verdict for a message.
func reasons(why []string) string {
	if len(why) == 0 {
		return "the check gave no reason"
	}
	return strings.Join(why, "; ")
}
