// Package redact masks secrets in lines of output before they are kept or sent: those it is told of, and what looks like
// one. It prefers masking too much. It must not know where lines come from.
package redact

import (
	"regexp"
	"slices"
	"strings"
)

// Mask stands where a secret stood.
const Mask = "[redacted]"

// minSecret is the shortest text masked as a known secret: shorter pieces of a secret file ("key:", "---") would blot
// out ordinary words.
const minSecret = 6

// The shapes of secrets that Kubernetes programs print or read.
var (
	// kubeadm's bootstrap token: id.secret.
	bootstrapToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)
	// 64 hex digits are kubeadm's certificate key, unless they are a digest, which people need to see.
	hexKey = regexp.MustCompile(`(sha256:|sha256-|@)?\b[0-9a-f]{64}\b`)
	jwt    = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+`)
	// name=value and "name": "value" of names that say it.
	named = regexp.MustCompile(`(?i)\b(password|passwd|secret|token|certificate-key|certificatekey|api-?key|access-?key|client-key-data|authorization)("?\s*[:=]\s*"?)(bearer\s+)?[^\s",]+`)
	// flags whose value is the next word.
	flagged = regexp.MustCompile(`(?i)(--(?:password|token|certificate-key|discovery-token)\s+)[^\s"]+`)
	// Private keys in base64, as in kubeconfigs ("LS0tLS1CRUdJTi" is "-----BEGIN").
	base64PEM = regexp.MustCompile(`\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]{40,}`)
)

// Redactor masks line by line; it remembers whether it is inside a private key. Not safe for concurrent use.
type Redactor struct {
	secrets []string
	inKey   bool
}

// New returns a Redactor that masks every line of the given secrets, and the values on their lines, besides what looks
// like a secret.
func New(secrets ...[]byte) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		for line := range strings.Lines(string(s)) {
			r.add(strings.TrimSpace(line))
			for field := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(" \t\r\n\"',:=", c) }) {
				// Words of a configuration are no secrets; values long enough to be one are.
				if len(field) >= 16 {
					r.add(field)
				}
			}
		}
	}
	// Longer ones first, so that a secret which contains another is masked whole.
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
	r.secrets = slices.Compact(r.secrets)
	return r
}

func (r *Redactor) add(s string) {
	if len(s) >= minSecret {
		r.secrets = append(r.secrets, s)
	}
}

// terminalCode is a control sequence of a terminal (ECMA-48), such as a colour. Programs print them also where nobody sees colours, and cut
// out of the middle of them a secret would not be seen.
var terminalCode = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// Line returns the line with every secret masked, and without the colours of a terminal.
func (r *Redactor) Line(line string) string {
	line = terminalCode.ReplaceAllString(line, "")
	if strings.Contains(line, "-----BEGIN ") && strings.Contains(line, "PRIVATE KEY-----") {
		r.inKey = !strings.Contains(line, "-----END ")
		return Mask
	}
	if r.inKey {
		r.inKey = !strings.Contains(line, "-----END ")
		return Mask
	}
	for _, s := range r.secrets {
		line = strings.ReplaceAll(line, s, Mask)
	}
	line = bootstrapToken.ReplaceAllString(line, Mask)
	line = jwt.ReplaceAllString(line, Mask)
	line = base64PEM.ReplaceAllString(line, Mask)
	line = named.ReplaceAllString(line, "${1}${2}"+Mask)
	line = flagged.ReplaceAllString(line, "${1}"+Mask)
	return hexKey.ReplaceAllStringFunc(line, func(m string) string {
		if len(m) > 64 {
			return m
		}
		return Mask
	})
}

// Lines masks each line.
func (r *Redactor) Lines(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = r.Line(l)
	}
	return out
}
