// Package planted finds secrets that a test has planted, in whatever form they come out somewhere. It must not be linked into a program.
package planted

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
)

// Secret is something that must show up nowhere.
type Secret struct {
	// Name says what it is, for people.
	Name  string
	Value []byte
}

// PrivateKey is part of every private key in PEM, whoever made it and whenever.
func PrivateKey() Secret { return Secret{"a private key in PEM", []byte("PRIVATE KEY-----\n")} }

// In lists the names of the secrets that a text holds: as they are, in base64 (also as a part of something longer, and twice, as in a
// kubeconfig that is in a Secret), in hexadecimal, and escaped for JSON and URLs.
func In(text []byte, secrets ...Secret) []string {
	var found []string
	for _, s := range secrets {
		if slices.ContainsFunc(forms(s.Value), func(form []byte) bool { return bytes.Contains(text, form) }) {
			found = append(found, s.Name)
		}
	}
	return found
}

func forms(value []byte) [][]byte {
	list := [][]byte{
		value, []byte(hex.EncodeToString(value)), bytes.ToUpper([]byte(hex.EncodeToString(value))), []byte(url.QueryEscape(string(value))),
		bytes.ReplaceAll(value, []byte("\n"), []byte(`\n`)),
	}
	for _, once := range parts(value) {
		list = append(list, once)
		list = append(list, parts(once)...)
	}
	return list
}

// parts are the base64 of a value wherever it begins in what is encoded, without the characters at both ends that depend on what stands
// beside it.
func parts(value []byte) [][]byte {
	var list [][]byte
	for lead := range 3 {
		padded := append(make([]byte, lead), value...)
		whole := len(padded) / 3 * 3
		text := base64.StdEncoding.EncodeToString(padded[:whole])
		if lead > 0 {
			text = text[4:]
		}
		list = append(list, []byte(text))
	}
	return list
}
