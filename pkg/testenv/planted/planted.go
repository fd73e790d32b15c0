// Package planted finds secrets that a test has planted, in whatever form they come out somewhere. It must not be linked into a program.
package planted

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
)

// Secret is something that must show up nowhere.
type Secret struct {
	// Name says what it is, for people.
	Name  string
	Value []byte
}

// PrivateKey is part of every private key in PEM, whoever made it and whenever.
func PrivateKey() Secret { return Secret{"a private key in PEM", []byte("PRIVATE KEY-----\n")} }

// In lists the names of the secrets that a text holds. NewFinder says in which forms; it is for many texts, this is for one.
func In(text []byte, secrets ...Secret) []string { return NewFinder(secrets...).In(text) }

// forms are all that a value may come out as: as it is, in base64 of both alphabets (also as a part of something longer, and twice, as in a
// kubeconfig that is in a Secret), in hexadecimal, and escaped for JSON, Go and URLs.
func forms(value []byte) [][]byte {
	inHex := []byte(hex.EncodeToString(value))
	list := [][]byte{
		value, inHex, bytes.ToUpper(inHex), []byte(url.QueryEscape(string(value))), []byte(url.PathEscape(string(value))),
		bytes.ReplaceAll(value, []byte("\n"), []byte(`\n`)), unquoted(strconv.Quote(string(value))),
	}
	// A string always has a form in JSON.
	if text, err := json.Marshal(string(value)); err == nil {
		list = append(list, unquoted(string(text)))
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for _, once := range parts(encoding, value) {
			list = append(list, once)
			list = append(list, parts(base64.StdEncoding, once)...)
		}
	}
	return list
}

func unquoted(text string) []byte { return []byte(text[1 : len(text)-1]) }

// parts are the base64 of a value wherever it begins in what is encoded, without the characters at both ends that depend on what stands
// beside it.
func parts(encoding *base64.Encoding, value []byte) [][]byte {
	var list [][]byte
	for lead := range 3 {
		padded := append(make([]byte, lead), value...)
		whole := len(padded) / 3 * 3
		text := encoding.EncodeToString(padded[:whole])
		if lead > 0 {
			text = text[4:]
		}
		list = append(list, []byte(text))
	}
	return list
}
