package checksum_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/kubewright/kubewright/pkg/fetch/checksum"
)

var released = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a configuration in which it is a certain time.
func at(now time.Time) *packet.Config { return &packet.Config{Time: func() time.Time { return now }} }

// signer makes a key that is good for a year before the release and as long as it says.
func signer(t *testing.T, name string, life time.Duration) *openpgp.Entity {
	t.Helper()
	config := at(released.AddDate(-1, 0, 0))
	config.Algorithm, config.KeyLifetimeSecs = packet.PubKeyAlgoEdDSA, uint32(life/time.Second)
	e, err := openpgp.NewEntity(name, "", name+"@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// public is the armored public part of keys, one block each.
func public(t *testing.T, entities ...*openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, e := range entities {
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err == nil {
			err = errors.Join(e.Serialize(w), w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
	return out.Bytes()
}

// signed clear-signs a text.
func signed(t *testing.T, e *openpgp.Entity, text string, config *packet.Config) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, e.PrivateKey, config)
	if err == nil {
		_, err = w.Write([]byte(text))
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOnlyWhatATrustedKeySignedCounts(t *testing.T) {
	project, other, short := signer(t, "project", 0), signer(t, "other", 0), signer(t, "short", 2*365*24*time.Hour)
	sums := a + "  tool.tar.gz\n" + b + "  -other\n"
	good := signed(t, project, sums, at(released))
	old := at(released)
	old.SigLifetimeSecs = 3600
	for name, c := range map[string]struct {
		content []byte
		keys    []*openpgp.Entity
		now     time.Time
		refused string
	}{
		"signed by the key":                       {good, []*openpgp.Entity{project}, released, ""},
		"signed by the second of two keys":        {good, []*openpgp.Entity{other, project}, released, ""},
		"with the line ends of another system":    {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), []*openpgp.Entity{project}, released, ""},
		"by a key that has expired since":         {signed(t, short, sums, at(released)), []*openpgp.Entity{short}, released.AddDate(9, 0, 0), ""},
		"by a key that had expired":               {signed(t, short, sums, at(released.AddDate(3, 0, 0))), []*openpgp.Entity{short}, released.AddDate(9, 0, 0), "expired"},
		"before the key was made":                 {signed(t, project, sums, at(released.AddDate(-2, 0, 0))), []*openpgp.Entity{project}, released, "no valid self signature"},
		"with a signature that ends":              {signed(t, project, sums, old), []*openpgp.Entity{project}, released.AddDate(0, 0, 1), "expired"},
		"by another key":                          {good, []*openpgp.Entity{other}, released, "none of the trusted keys"},
		"not signed":                              {[]byte(sums), []*openpgp.Entity{project}, released, "not clear-signed"},
		"with something before what is signed":    {append([]byte(b+"  tool.tar.gz\n"), good...), []*openpgp.Entity{project}, released, "not clear-signed"},
		"with another checksum":                   {bytes.Replace(good, []byte(a), []byte(b), 1), []*openpgp.Entity{project}, released, "signature"},
		"with a line more":                        {bytes.Replace(good, []byte(a), []byte(b+"  evil\n"+a), 1), []*openpgp.Entity{project}, released, "signature"},
		"cut off":                                 {good[:len(good)-60], []*openpgp.Entity{project}, released, "form"},
		"with a header that is none":              {bytes.Replace(good, []byte("Hash:"), []byte("Evil:"), 1), []*openpgp.Entity{project}, released, "form"},
		"with a signature that is none":           {[]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n" + sums + "-----BEGIN PGP SIGNATURE-----\n\n=\n-----END PGP SIGNATURE-----\n"), []*openpgp.Entity{project}, released, ""},
		"larger than a file of checksums ever is": {append(bytes.Clone(good), make([]byte, checksum.MaxSize)...), []*openpgp.Entity{project}, released, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := checksum.ParseKeys(public(t, c.keys...))
			if err != nil {
				t.Fatal(err)
			}
			text, by, err := keys.Verify(c.content, c.now)
			if c.refused != "" || name == "with a signature that is none" {
				if e, ok := errors.AsType[*checksum.SignatureError](err); !ok || !strings.Contains(e.Error(), c.refused) || text != nil {
					t.Errorf("got %q, %v", text, err)
				}
				return
			}
			if err != nil || !strings.Contains(strings.Join(keys.Fingerprints(), " "), by) || len(by) < 40 {
				t.Fatalf("by %q: %v", by, err)
			}
			if sum, err := checksum.Find(text, "tool.tar.gz"); err != nil || sum != a {
				t.Errorf("in what is signed there is %q, %v", sum, err)
			}
		})
	}
}

// What stands behind the signature is not signed: it must not get into what Verify returns.
func TestWhatFollowsTheSignatureIsNotSigned(t *testing.T) {
	project := signer(t, "project", 0)
	keys, err := checksum.ParseKeys(public(t, project))
	if err != nil {
		t.Fatal(err)
	}
	content := append(signed(t, project, a+"  tool.tar.gz\n", at(released)), []byte(b+"  tool.tar.gz\n"+b+"  evil\n")...)
	text, _, err := keys.Verify(content, released)
	if err != nil || strings.Contains(string(text), b) {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	project := signer(t, "project", 0)
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = errors.Join(project.SerializePrivate(w, nil), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ content, says string }{
		"nothing":                {"", "no armored"},
		"a text":                 {"hello", "no armored"},
		"a private key":          {private.String(), "private"},
		"a damaged key":          {strings.Replace(string(public(t, project)), "\n\n", "\n\nAAAA", 1), "no armored OpenPGP public keys"},
		"a good and a wrong one": {string(public(t, project)) + "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n", "no armored OpenPGP public keys"},
	} {
		if keys, err := checksum.ParseKeys([]byte(c.content)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v", name, keys, err)
		}
	}
}

// FuzzSigned feeds clear-signed texts that anybody may have changed: what comes out is what the project signed, or nothing.
func FuzzSigned(f *testing.F) {
	config := at(released.AddDate(-1, 0, 0))
	config.Algorithm = packet.PubKeyAlgoEdDSA
	project, err := openpgp.NewEntity("project", "", "project@example.com", config)
	if err != nil {
		f.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(project.Serialize(w), w.Close())
	}
	if err != nil {
		f.Fatal(err)
	}
	keys, err := checksum.ParseKeys(public.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	text := a + "  tool.tar.gz\n- dashes\n"
	var content bytes.Buffer
	s, err := clearsign.Encode(&content, project.PrivateKey, at(released))
	if err == nil {
		_, err = s.Write([]byte(text))
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content.Bytes())
	f.Add([]byte(a))
	f.Add(append(bytes.Clone(content.Bytes()), content.Bytes()...))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, _, err := keys.Verify(content, released)
		if err == nil && strings.TrimRight(string(got), "\n") != strings.TrimRight(text, "\n") {
			t.Errorf("%q was signed, it says", got)
		}
		if _, ok := errors.AsType[*checksum.SignatureError](err); err != nil && !ok {
			t.Errorf("got %v", err)
		}
	})
}
