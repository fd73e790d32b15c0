package ssh

import (
	"path"
	"strconv"
	"strings"
)

// Command is a program to run on a host.
type Command struct {
	// Path is the program: absolute, clean, and of letters, digits and _ . / = : , + - only.
	Path string
	// Args are its arguments, of the same characters, none empty. There is no quoting: what would need it is refused,
	// and belongs on standard input.
	Args []string
	// Sudo runs it as root, in the way that Target.Sudo says.
	Sudo bool
}

// maxWord bounds a path and an argument; a name of the length limit of Linux paths is never needed.
const maxWord = 1024

// check returns which field cannot be used and why; empty when all is well.
func (c Command) check() (field, reason string) {
	if reason := checkPath(c.Path); reason != "" {
		return "command path", reason
	}
	for i, a := range c.Args {
		if reason := checkWord(a); reason != "" {
			return "command argument " + strconv.Itoa(i+1), reason
		}
	}
	return "", ""
}

func checkPath(p string) string {
	switch {
	case !path.IsAbs(p):
		return "is not an absolute path"
	case path.Clean(p) != p || p == "/":
		return "is not a clean path to a file"
	}
	return checkWord(p)
}

// checkWord accepts only words that every login shell takes literally. A leading "=" is refused because zsh would expand it.
func checkWord(w string) string {
	switch {
	case w == "":
		return "is empty"
	case len(w) > maxWord:
		return "is longer than " + strconv.Itoa(maxWord) + " bytes"
	case w[0] == '=':
		return `begins with "="`
	case strings.ContainsFunc(w, func(r rune) bool { return !isPlain(r) }):
		return "contains a character other than letters, digits and _ . / = : , + -"
	}
	return ""
}

func isPlain(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("_./=:,+-", r)
}

// execString is what the login shell of the host is given: constants and checked words, separated by blanks.
func execString(sudo SudoMode, marker string, words ...string) string {
	// sudo speaks English only in the C locale, and its messages are read to tell one failure from another. `env` works
	// in every login shell, an assignment in front of a command does not.
	var prefix []string
	switch sudo {
	case SudoNoPassword:
		prefix = []string{"env", "LC_ALL=C", "sudo", "-n", "--"}
	case SudoPassword:
		prefix = []string{"env", "LC_ALL=C", "sudo", "-S", "-p", marker, "--"}
	}
	return strings.Join(append(prefix, words...), " ")
}
