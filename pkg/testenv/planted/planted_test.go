package planted_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

func TestAPlantedSecretIsFoundInEveryForm(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		text  string
		found bool
	}{
		"as it is":  {"x " + secret + " y", true},
		"in base64": {b64(secret), true},
		"in base64, one byte behind the beginning":  {b64("x" + secret + "yz"), true},
		"in base64, two bytes behind the beginning": {b64("xy" + secret), true},
		"in base64 twice":                           {b64("a: " + b64("xy"+secret+"z") + "\n"), true},
		"in base64 for URLs":                        {base64.URLEncoding.EncodeToString([]byte("x" + secret)), true},
		"in hexadecimal":                            {hex.EncodeToString([]byte(secret)), true},
		"another one":                               {"hunter3-hunter3-hunter3", false},
		"only its beginning":                        {"hunter2-hunter2", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(planted.In([]byte(c.text), planted.Secret{Name: "it", Value: []byte(secret)})) > 0; got != c.found {
				t.Errorf("got %v, want %v", got, c.found)
			}
		})
	}
}

// A secret has every character that some form writes otherwise.
func TestASecretWithHardCharactersIsFound(t *testing.T) {
	const hard = "it's a \"hard\" $PASS\\word <&>\n?"
	inJSON, err := json.Marshal(map[string]string{"key": hard})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"JSON": string(inJSON), "Go": fmt.Sprintf("%q", hard), "a query": url.QueryEscape(hard), "a path": url.PathEscape(hard),
	} {
		if len(planted.In([]byte(text), planted.Secret{Name: "it", Value: []byte(hard)})) == 0 {
			t.Errorf("not found in %s: %s", name, text)
		}
	}
}

func TestASecretIsFoundWhereverItLiesInAStream(t *testing.T) {
	secrets := []planted.Secret{{Name: "long", Value: []byte(strings.Repeat("0123456789abcdef", 10))}, {Name: "short", Value: []byte("s3cret")}}
	finder := planted.NewFinder(secrets...)
	const chunk = 1 << 20 // what is read at a time
	for _, s := range secrets {
		for _, lead := range []int{0, 1, chunk - len(s.Value)/2, chunk - 1, chunk, 2*chunk + 500, 3 * chunk} {
			text := append(append(bytes.Repeat([]byte{'x'}, lead), s.Value...), "tail"...)
			found, err := finder.InStream(iotest.OneByteReader(bytes.NewReader(text)))
			if err != nil || len(found) != 1 || found[0] != s.Name {
				t.Errorf("%s behind %d bytes: found %v, %v", s.Name, lead, found, err)
			}
		}
	}
	if found, err := finder.InStream(strings.NewReader(strings.Repeat("0123456789abcdef", 9))); err != nil || len(found) > 0 {
		t.Errorf("found %v, %v where there is none", found, err)
	}
}

func TestAPrivateKeyIsFoundByItsNumberAndByItsLinesAndNotByItsPublicHalf(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := curve.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	factors, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	openSSH, err := ssh.MarshalPrivateKey(edwards, "comment")
	if err != nil {
		t.Fatal(err)
	}
	inPKCS8, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		block  *pem.Block
		number []byte
		public any
	}{
		"OpenSSH": {openSSH, edwards.Seed(), edwards.Public()},
		"PKCS #8": {&pem.Block{Type: "PRIVATE KEY", Bytes: inPKCS8}, scalar, curve.Public()},
		"PKCS #1": {&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(factors)}, factors.Primes[0].Bytes(), factors.Public()},
	} {
		t.Run(name, func(t *testing.T) {
			public, err := x509.MarshalPKIXPublicKey(c.public)
			if err != nil {
				t.Fatal(err)
			}
			certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})
			file := append(certificate, pem.EncodeToMemory(c.block)...)
			secrets, err := planted.Key("key", file)
			if err != nil {
				t.Fatal(err)
			}
			finder := planted.NewFinder(secrets...)
			for form, text := range map[string][]byte{
				"the file": file, "base64 of the file": []byte(base64.StdEncoding.EncodeToString(file)), "its number": c.number,
				"the file in one line": bytes.ReplaceAll(file, []byte("\n"), []byte(" ")), "all without line ends": []byte(base64.StdEncoding.EncodeToString(c.block.Bytes)),
			} {
				if len(finder.In(text)) == 0 {
					t.Errorf("%s is not found", form)
				}
			}
			for form, text := range map[string][]byte{
				"its public half": public, "in PEM": certificate, "in base64": []byte(base64.StdEncoding.EncodeToString(public)),
			} {
				if found := finder.In(text); len(found) > 0 {
					t.Errorf("%s %s counts as secret", form, found)
				}
			}
		})
	}
}
