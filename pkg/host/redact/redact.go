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

// secretNames are the ends of names whose values are secrets, whatever stands before and however the words are joined: dbPassword,
// AWS_SECRET_ACCESS_KEY, client-key-data.
const secretNames = `(?:passw(?:or)?d|passphrase|secret|token|credentials?|authorization|private[-_]?key|certificate[-_]?key|api[-_]?key|` +
	`access[-_]?key(?:[-_]?id)?|secret[-_]?key|encryption[-_]?key|client[-_]?key)(?:[-_]?(?:data|value|base64))?s?`

// secretValue is what follows such a name: in quotes with blanks, also where the line was cut before the closing one, or up to a blank. An
// authorization has its scheme in front.
const secretValue = `(?:(?:bearer|basic|digest|negotiate)\s+)?(?:\\?"(?:[^"\\]|\\[^"])*(?:\\?"|$)|'[^']*(?:'|$)|[^\s",'][^\s",]*)` //nolint:gosec // what a secret looks like, not one

// The shapes of secrets that Kubernetes programs print or read. Those that a cut can leave in parts are known by their beginnings.
var (
	// kubeadm's bootstrap token: id.secret.
	bootstrapToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b|\b[a-z0-9]{6}\.[a-z0-9]{8,15}$`)
	// 64 hex digits are kubeadm's certificate key, unless they are a digest, which people need to see.
	hexKey = regexp.MustCompile(`(?i)(sha256:|sha256-|@)?\b(?:[0-9a-f]{64}\b|[0-9a-f]{48,63}$)`)
	jwt    = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}`)
	// age's identities, in either case (filippo.io/age, Bech32), plugins' too.
	ageIdentity = regexp.MustCompile(`(?i)\bAGE-(?:SECRET-KEY|PLUGIN)-[A-Z0-9-]*`)
	// AWS's access key IDs, which name an account (docs.aws.amazon.com/IAM, unique identifiers).
	awsKeyID = regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{12,}`)
	// userinfo of a URL: scheme://user:password@host.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#"']*@`)
	// name=value and "name": "value" of names that say it.
	named = regexp.MustCompile(`(?i)(` + secretNames + `(?:\\?["'])?\s*[:=]\s*)(` + secretValue + `)`)
	// flags whose value is the next word.
	flagged = regexp.MustCompile(`(?i)(--[a-z0-9-]*` + secretNames + `\s+)(` + secretValue + `)`)
	// Private keys in base64, as in kubeconfigs ("LS0tLS1CRUdJTi" is "-----BEGIN").
	base64PEM = regexp.MustCompile(`\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]*`)
	// keyLine is a line of a key whose first line was cut away: PEM has 64 letters in a line, OpenSSH 70.
	keyLine = regexp.MustCompile(`^\s*[A-Za-z0-9+/]{60,76}={0,2}\s*$`)
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
		line = maskCut(strings.ReplaceAll(line, s, Mask), s)
	}
	line = userinfo.ReplaceAllString(line, "${1}"+Mask+"@")
	line = ageIdentity.ReplaceAllString(line, Mask)
	line = awsKeyID.ReplaceAllString(line, Mask)
	line = bootstrapToken.ReplaceAllString(line, Mask)
	line = jwt.ReplaceAllString(line, Mask)
	line = base64PEM.ReplaceAllString(line, Mask)
	line = keyLine.ReplaceAllString(line, Mask)
	line = mask(named, line)
	line = mask(flagged, line)
	return hexKey.ReplaceAllStringFunc(line, func(m string) string {
		if strings.HasPrefix(strings.ToLower(m), "sha256") || strings.HasPrefix(m, "@") {
			return m
		}
		return Mask
	})
}

// mask masks the second group of a pattern and keeps the quotes around it.
func mask(pattern *regexp.Regexp, line string) string {
	return pattern.ReplaceAllStringFunc(line, func(m string) string {
		parts := pattern.FindStringSubmatch(m)
		value := parts[2]
		quote := value[:len(value)-len(strings.TrimLeft(value, "\\\"'"))]
		end := ""
		if quote != "" && len(value) >= 2*len(quote) && strings.HasSuffix(value, quote) {
			end = quote
		}
		return parts[1] + quote + Mask + end
	})
}

// maskCut masks the beginning of a secret at the end of a line, and its end at the beginning of one: lines that are too long are cut
// anywhere.
func maskCut(line, secret string) string {
	for n := len(secret) - 1; n >= minSecret; n-- {
		if strings.HasSuffix(line, secret[:n]) {
			line = line[:len(line)-n] + Mask
			break
		}
	}
	for n := len(secret) - 1; n >= minSecret; n-- {
		if strings.HasPrefix(line, secret[len(secret)-n:]) {
			return Mask + line[n:]
		}
	}
	return line
}

// Lines masks each line.
func (r *Redactor) Lines(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = r.Line(l)
	}
	return out
}
