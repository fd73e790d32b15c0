// Package checksum reads the files in which projects publish the sha256 of what they release, in the five forms in use. It says what
// such a file claims; whether the file itself can be trusted is for its caller to know.
package checksum

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
)

// MaxSize bounds a file of checksums, in bytes: those of large projects have some hundred kilobytes.
const MaxSize = 4 << 20

// maxLine bounds a line, in bytes.
const maxLine = 16 << 10

// NotListedError says that a file of checksums says nothing of a file.
type NotListedError struct {
	// Name is what was looked for; Listed counts what the file speaks of.
	Name   string
	Listed int
}

func (e *NotListedError) Error() string {
	return fmt.Sprintf("the file of checksums lists %d files, but not %s: check that it belongs to the same release", e.Listed, e.Name)
}

// MalformedError says that a file is none of checksums.
type MalformedError struct {
	// Line, from 1; 0 for the file as a whole.
	Line int
	// Reason says what is wrong.
	Reason string
}

func (e *MalformedError) Error() string {
	if e.Line == 0 {
		return "this is no file of sha256 checksums: " + e.Reason
	}
	return fmt.Sprintf("this is no file of sha256 checksums: line %d %s", e.Line, e.Reason)
}

// Find returns the sha256 of a file, as 64 hexadecimal digits in lower case, out of a file of checksums in one of these forms:
//
//	bare        the digits alone, for one file                        dl.k8s.io: kubeadm.sha256
//	GNU         DIGITS, two blanks or a blank and '*', NAME            runc: runc.sha256sum
//	BSD         SHA256 (NAME) = DIGITS                                 shasum --tag
//	PGP         one of the others between the lines of a clear signature; Keys.Verify checks the signature
//	SHA256SUMS  a list of GNU lines, names perhaps with directories    etcd: SHA256SUMS
//
// name is a file's name without directories. Directories in the list are left out of the comparison, as projects write them as they
// come; two entries of one name that differ are refused, so that none of them is believed by chance. Errors: NotListedError,
// MalformedError.
func Find(content []byte, name string) (string, error) {
	if len(content) > MaxSize {
		return "", &MalformedError{Reason: fmt.Sprintf("it has more than %d bytes", MaxSize)}
	}
	if name == "" || name != path.Base(name) {
		return "", fmt.Errorf("look for a checksum: %q is not a file's name", name)
	}
	lines, err := linesOf(content)
	if err != nil {
		return "", err
	}
	if len(lines) == 1 {
		if sum, ok := digits(lines[0].text); ok {
			return sum, nil
		}
	}
	found, listed := "", 0
	for _, line := range lines {
		sum, of, ok := entry(line.text)
		if !ok {
			return "", &MalformedError{Line: line.number, Reason: fmt.Sprintf("is %.80q", line.text)}
		}
		if sum == "" {
			continue // the checksum of another kind
		}
		listed++
		if path.Base(of) != name {
			continue
		}
		if found != "" && found != sum {
			return "", &MalformedError{Line: line.number, Reason: fmt.Sprintf("gives %s another checksum than a line before", name)}
		}
		found = sum
	}
	if found == "" {
		return "", &NotListedError{Name: name, Listed: listed}
	}
	return found, nil
}

// line is a line that says something, with its number.
type line struct {
	number int
	text   string
}

// linesOf returns the lines that say something; of a clear-signed text (RFC 9580, section 7) those that are signed.
func linesOf(content []byte) ([]line, error) {
	const (
		begin     = beginSigned
		signature = "-----BEGIN PGP SIGNATURE-----"
	)
	const (
		plain = iota
		header
		signed
		after
	)
	var lines []line
	state := plain
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, maxLine)
	for number := 1; scanner.Scan(); number++ {
		text := strings.TrimRight(scanner.Text(), " \t\r")
		switch {
		case state == plain && text == begin && len(lines) == 0:
			state = header
		case state == header:
			if text == "" {
				state = signed
			}
		case state == signed && text == signature:
			state = after
		case state == after, text == "", strings.HasPrefix(text, "#"):
		case strings.HasPrefix(text, "-----"):
			return nil, &MalformedError{Line: number, Reason: fmt.Sprintf("is %.80q", text)}
		case state == signed:
			lines = append(lines, line{number, strings.TrimPrefix(text, "- ")}) // lines that begin with a dash are escaped so
		default:
			lines = append(lines, line{number, text})
		}
	}
	switch err := scanner.Err(); {
	case err != nil:
		return nil, &MalformedError{Reason: "it has a line that is too long"}
	case state == header, state == signed:
		return nil, &MalformedError{Reason: "its signature is cut off"}
	case len(lines) == 0:
		return nil, &MalformedError{Reason: "it is empty"}
	}
	return lines, nil
}

// entry reads one line. The sum is empty for a line that is right, but of another kind of checksum.
func entry(text string) (sum, name string, ok bool) {
	if kind, rest, isBSD := strings.Cut(text, " ("); isBSD && !strings.Contains(kind, " ") {
		end := strings.LastIndex(rest, ") = ")
		if end <= 0 {
			return "", "", false
		}
		name, value := rest[:end], rest[end+len(") = "):]
		if kind != "SHA256" {
			_, err := hex.DecodeString(value)
			return "", name, err == nil
		}
		sum, ok = digits(value)
		return sum, name, ok
	}
	sumText, name, found := strings.Cut(text, " ")
	if !found {
		return "", "", false
	}
	name = strings.TrimLeft(name, " ")
	name = strings.TrimPrefix(name, "*")
	sum, ok = digits(sumText)
	return sum, name, ok && name != ""
}

// digits reads a sha256.
func digits(text string) (string, bool) {
	raw, err := hex.DecodeString(text)
	return strings.ToLower(text), err == nil && len(raw) == 32
}
