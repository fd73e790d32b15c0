package planted

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// enough is how many bytes of a key tell that it is this one.
const enough = 12

// Key takes what is secret out of the private key in a file, in PEM or OpenSSH's form, perhaps with certificates beside it: the number that
// nobody may know, and each line of the file that holds a part of it. So whoever writes out the key in another form, or only some lines of
// it, is found as well. The rest of a private key is its public half, which may be anywhere.
func Key(name string, file []byte) ([]Secret, error) {
	block, text := privateBlock(file)
	if block == nil {
		return nil, fmt.Errorf("%s holds no private key in PEM", name)
	}
	key, err := parse(text, block)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	number, err := secretOf(key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	at := bytes.Index(block.Bytes, number)
	if at < 0 {
		return nil, fmt.Errorf("%s does not hold its secret number as it is", name)
	}
	secrets := []Secret{{name, number}}
	read := 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || bytes.HasPrefix(line, []byte("-----")) {
			continue
		}
		width := base64.StdEncoding.DecodedLen(len(line))
		if min(read+width, at+len(number))-max(read, at) >= enough {
			secrets = append(secrets, Secret{name, line})
		}
		read += width
	}
	return secrets, nil
}

// privateBlock finds the first private key, and the lines it stands in.
func privateBlock(file []byte) (*pem.Block, []byte) {
	for {
		block, rest := pem.Decode(file)
		if block == nil || strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block, file[:len(file)-len(rest)]
		}
		file = rest
	}
}

func parse(file []byte, block *pem.Block) (any, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	return ssh.ParseRawPrivateKey(file)
}

// secretOf is the part of a private key that all else can be computed from, as files hold it.
func secretOf(key any) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k.Primes[0].Bytes(), nil
	case *ecdsa.PrivateKey:
		return k.Bytes()
	case *ed25519.PrivateKey:
		return k.Seed(), nil
	case ed25519.PrivateKey:
		return k.Seed(), nil
	}
	return nil, errors.New("it is a key of an unknown kind")
}
