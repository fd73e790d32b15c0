package inbound_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

func TestATextIsShownByATerminalAndNotObeyed(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain text stays":                    {"naïve – 日本語\n\tindented", "naïve – 日本語\n\tindented"},
		"colours go":                          {"\x1b[1;31mERROR\x1b[0m: no", "ERROR: no"},
		"the title of the window stays as is": {"a\x1b]0;owned\x07b", "ab"},
		"a link goes and its text stays":      {"\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", "here"},
		"the clipboard is not written":        {"\x1b]52;c;cm0gLXJmIC8=\x07", ""},
		"a string that is not ended":          {"a\x1b]0;rest\nnext", "a\nnext"},
		"one-byte forms":                      {"\u009b31mred\u009d0;x\u009c", "red"},
		"bytes that are no text":              {"a\x9b31mb\xff", "a\uFFFD31mb\uFFFD"},
		"the cursor is not moved":             {"\x1b[2J\x1b[1;1Hkubewright: done", "kubewright: done"},
		"a reset of the terminal":             {"\x1bc\x1b(0x", "x"},
		"text that writes over itself":        {"10%\r20%\r\ndone\b\b\b\bfail", "10%\n20%\ndonefail"},
		"direction is not turned":             {"user\u202egnp.exe\u2066x\u2069\u200f\u061c", "usergnp.exex"},
		"what nobody sees":                    {"pass\u200bword\ufeff\U000e0041", "password"},
		"separators of lines":                 {"a\u2028b\u2029c", "abc"},
		"NUL and bells":                       {"a\x00b\x07", "ab"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inbound.Text(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestALineAddsNoLines(t *testing.T) {
	if got := inbound.Line("a\r\nError: b\tc"); got != "a Error: b c" {
		t.Errorf("got %q", got)
	}
	if got := inbound.Head("日本語", 4); got != "日" && got != "日\uFFFD" {
		t.Errorf("got %q", got)
	}
}

func TestEveryTextOfAMessageIsCleaned(t *testing.T) {
	type part struct {
		Text  string
		Bytes []byte
	}
	type message struct {
		Part  *part
		List  []part
		Words []string
		Map   map[string]string
		Any   any
		N     int
	}
	const bad, good = "\x1b[31mx\u202e", "x"
	m := &message{Part: &part{Text: bad, Bytes: []byte(bad)}, List: []part{{Text: bad}}, Words: []string{bad}, Map: map[string]string{bad: bad}, N: 1}
	inbound.Clean(m)
	if m.Part.Text != good || string(m.Part.Bytes) != bad || m.List[0].Text != good || m.Words[0] != good || m.N != 1 {
		t.Errorf("got %+v", m)
	}
	if diff := cmp.Diff(map[string]string{good: good}, m.Map); diff != "" {
		t.Error(diff)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[31mb\u202e\r\n\xff")
	f.Fuzz(func(t *testing.T, in string) {
		got := inbound.Text(in)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\r\x00\x07\x08\u202e\u2066\u009b") || inbound.Text(got) != got {
			t.Errorf("%q became %q", in, got)
		}
	})
}
