package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/kubewright/kubewright/pkg/bundle"
)

var (
	created  = time.Unix(1700000000, 0).UTC()
	signedAt = time.Unix(1800000000, 0).UTC()
)

// written writes a bundle with one file and opens it.
func written(t testing.TB, content string, when time.Time, attachments ...bundle.Attachment) *bundle.Bundle {
	t.Helper()
	d, blob := bundle.BytesBlob([]byte(content))
	cfg := &bundle.Config{Name: "small", Created: when, Releases: []bundle.Release{{
		KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"},
		Files: []bundle.File{{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: "v1.36.3",
			Platform: "linux/amd64", Digest: d, Size: blob.Size, Mode: 0o755}},
	}}}
	path := filepath.Join(t.TempDir(), "small.bundle")
	if _, err := bundle.Write(context.Background(), path, cfg, map[digest.Digest]bundle.Blob{d: blob}, attachments...); err != nil {
		t.Fatal(err)
	}
	return opened(t, path)
}

func opened(t testing.TB, path string, bases ...string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.OpenSet(path, bases...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func generated(t testing.TB, a Algorithm, name string) *PrivateKey {
	t.Helper()
	key, err := Generate(a, name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed signs and returns the path of the signed bundle.
func signed(t testing.TB, b *bundle.Bundle, key *PrivateKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "signed.bundle")
	if err := Sign(context.Background(), path, b, key, signedAt); err != nil {
		t.Fatal(err)
	}
	return path
}

func trust(keys ...*PrivateKey) Policy {
	var p Policy
	for _, k := range keys {
		p.Keys = append(p.Keys, k.Public())
	}
	return p
}

func TestASignedBundleOpensWithTheKeyAndSaysWhoSigned(t *testing.T) {
	for _, a := range []Algorithm{ECDSA, Ed25519} {
		key := generated(t, a, "release team")
		plain := written(t, "kubelet", created, bundle.Attachment{Type: bundle.TypeSBOM, Content: []byte("{}")})
		path := signed(t, plain, key)
		b, e, err := Open(path, trust(generated(t, Ed25519, "other"), key))
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if e.Digest != plain.Digest() || e.KeyID != key.Public().ID() || e.KeyName != "release team" || !e.SignedAt.Equal(signedAt) ||
			!e.Created.Equal(created) || e.Name != "small" || len(e.KubernetesVersions) != 1 || e.KubernetesVersions[0] != "v1.36.3" {
			t.Errorf("%s: evidence is %+v", a, e)
		}
	}
}

func TestSeveralMaySign(t *testing.T) {
	first, second := generated(t, ECDSA, "first"), generated(t, Ed25519, "second")
	path := signed(t, opened(t, signed(t, written(t, "kubelet", created), first)), second)
	for _, key := range []*PrivateKey{first, second} {
		if e, err := Verify(path, trust(key)); err != nil || e.KeyName != key.Public().Name {
			t.Errorf("%s: %+v, %v", key.Public().Name, e, err)
		}
	}
}

func TestADeltaCarriesTheSignatureOfWhatItStandsFor(t *testing.T) {
	key := generated(t, ECDSA, "key")
	base := written(t, "kubelet", created)
	full := opened(t, signed(t, written(t, "kubelet", created.Add(time.Hour)), key))
	delta := filepath.Join(t.TempDir(), "delta")
	if err := bundle.Diff(context.Background(), delta, base, full); err != nil {
		t.Fatal(err)
	}
	var missing *bundle.MissingBaseError
	if _, _, err := Open(delta, trust(key)); !errors.As(err, &missing) {
		t.Errorf("without its base: %v", err)
	}
	b, e, err := Open(delta, trust(key), base.Path())
	if err != nil || e.Digest != full.Digest() {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func is[T error](err error) bool {
	var want T
	return errors.As(err, &want)
}

func TestWhatIsNotRightlySignedIsRefused(t *testing.T) {
	key, other := generated(t, ECDSA, "ours"), generated(t, ECDSA, "theirs")
	plain := written(t, "kubelet", created)
	good := signed(t, plain, key)
	newer := signed(t, written(t, "kubelet", created.Add(time.Hour)), key)
	for name, c := range map[string]struct {
		path   func(*testing.T) string
		policy Policy
		want   func(error) bool
		says   string
	}{
		"no signature":   {func(*testing.T) string { return plain.Path() }, trust(key), is[*NotSignedError], "is not signed"},
		"another key":    {func(*testing.T) string { return good }, trust(other), is[*UntrustedKeyError], "theirs"},
		"no key":         {func(*testing.T) string { return good }, Policy{}, is[*UntrustedKeyError], "another key"},
		"no file":        {func(*testing.T) string { return good + ".not" }, trust(key), func(err error) bool { return errors.Is(err, os.ErrNotExist) }, "no such file"},
		"an older one":   {func(*testing.T) string { return good }, Policy{Keys: trust(key).Keys, MinCreated: created.Add(time.Minute)}, is[*ReplayedError], "2023-11-14T22:13:20Z"},
		"another digest": {func(*testing.T) string { return good }, Policy{Keys: trust(key).Keys, Digest: digest.FromString("other")}, is[*bundle.UntrustedError], "is the trusted one"},
		"a key of the same hint": {func(t *testing.T) string {
			// Somebody else's signature that claims to be ours.
			forged := *other
			public := *key.Public()
			public.key = other.Public().key
			forged.public = &public
			return signed(t, plain, &forged)
		}, trust(key), is[*BadSignatureError], "does not hold"},
		"the signature of another bundle": {func(t *testing.T) string {
			theirs, err := bundle.ReadReferrers(newer, bundle.TypeSignature)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "moved")
			if err := bundle.Attach(context.Background(), path, plain, bundle.Attachment{Type: bundle.TypeSignature, Content: theirs.Contents[0]}); err != nil {
				t.Fatal(err)
			}
			return path
		}, trust(key), is[*BadSignatureError], "does not hold"},
		"a signature that is nonsense": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "nonsense")
			if err := bundle.Attach(context.Background(), path, plain, bundle.Attachment{Type: bundle.TypeSignature, Content: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			return path
		}, trust(key), is[*BadSignatureError], "does not hold"},
		"another statement by our key": {func(t *testing.T) string {
			raw, err := json.Marshal(map[string]any{"_type": statementType, "predicateType": "https://slsa.dev/provenance/v1", "predicate": map[string]any{},
				"subject": []subject{{Name: "x", Digest: map[string]string{"sha256": plain.Digest().Encoded()}}}})
			if err != nil {
				t.Fatal(err)
			}
			content, err := envelope(raw, key)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "statement")
			if err := bundle.Attach(context.Background(), path, plain, bundle.Attachment{Type: bundle.TypeSignature, Content: content}); err != nil {
				t.Fatal(err)
			}
			return path
		}, trust(key), is[*BadSignatureError], "slsa.dev"},
		"something attached later": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "later")
			if err := bundle.Attach(context.Background(), path, opened(t, good), bundle.Attachment{Type: bundle.TypeSBOM, Content: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			return path
		}, trust(key), is[*UnsignedAttachmentError], bundle.TypeSBOM},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := Open(c.path(t), c.policy)
			if err == nil {
				b.Close() //nolint:errcheck // the test fails anyway
				t.Fatal("it was opened")
			}
			if !c.want(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %T: %v", err, err)
			}
		})
	}
}

func TestNothingElseIsReadBeforeTheSignatureIsVerified(t *testing.T) {
	key, other := generated(t, ECDSA, "ours"), generated(t, ECDSA, "theirs")
	path := signed(t, written(t, "kubelet", created), key)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A config no reader takes: whoever looked at it would complain of it.
	bad := bytes.Replace(raw, []byte(`"formatVersion":1`), []byte(`"formatVersion":9`), 1)
	if bytes.Equal(bad, raw) {
		t.Fatal("nothing was changed")
	}
	if err := os.WriteFile(path, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, trust(other)); !is[*UntrustedKeyError](err) {
		t.Errorf("by another key: %v", err)
	}
	if _, _, err := Open(path, trust(key)); !is[*bundle.DigestMismatchError](err) {
		t.Errorf("by the right key: %v", err)
	}
}

func TestKeysAreReadAndWritten(t *testing.T) {
	for _, a := range []Algorithm{ECDSA, Ed25519} {
		key := generated(t, a, "made")
		private, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePrivateKey("read", private, nil)
		if err != nil || again.Public().ID() != key.Public().ID() || again.Public().Name != "read" {
			t.Errorf("%s: %v", a, err)
		}
		both := append(key.Public().PEM(), generated(t, Ed25519, "more").Public().PEM()...)
		keys, err := ParsePublicKeys("file", both)
		if err != nil || len(keys) != 2 || keys[0].ID() != key.Public().ID() {
			t.Errorf("%s: %v, %v", a, keys, err)
		}
		if _, err := ParsePublicKeys("file", private); err == nil {
			t.Errorf("%s: a private key was taken for a public one", a)
		}
	}
	if _, err := Generate("rsa", "x"); err == nil {
		t.Error("an RSA key was made")
	}
	for name, raw := range map[string]string{"nothing": "", "a text": "hello", "a broken key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		_, err := ParsePrivateKey("file", []byte(raw), nil)
		if err == nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("private, %s: %v", name, err)
		}
		if _, err := ParsePublicKeys("file", []byte(strings.ReplaceAll(raw, "PRIVATE", "PUBLIC"))); err == nil {
			t.Errorf("public, %s: it was taken", name)
		}
	}
}

// says is a passphrase that is known.
func says(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

func TestEncryptedKeysAreThoseOfCosign(t *testing.T) {
	const secret = "correct horse"
	key := generated(t, Ed25519, "ours")
	ours, err := key.EncryptedPEM([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	theirsRead, err := cryptoutils.UnmarshalPEMToPrivateKey(ours, cryptoutils.StaticPasswordFunc([]byte(secret)))
	if err != nil {
		t.Fatalf("Sigstore's library does not read it: %v", err)
	}
	if same, err := privateKey(theirsRead.(crypto.Signer), "x"); err != nil || same.Public().ID() != key.Public().ID() {
		t.Errorf("Sigstore's library reads another key: %v", err)
	}
	theirs, theirPublic, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte(secret)))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKeys("theirs", theirPublic)
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.ReplaceAll(theirs, []byte("SIGSTORE"), []byte("COSIGN"))
	for name, c := range map[string]struct {
		raw []byte
		id  string
	}{"ours": {ours, key.Public().ID()}, "cosign's": {theirs, public[0].ID()}, "an older cosign's": {old, public[0].ID()}} {
		again, err := ParsePrivateKey(name, c.raw, says(secret))
		if err != nil || again.Public().ID() != c.id {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := written(t, "kubelet", created)
		if e, err := Verify(signed(t, b, again), trust(again)); err != nil || e.KeyID != c.id {
			t.Errorf("what %s signed: %+v, %v", name, e, err)
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		pass func() ([]byte, error)
	}{
		"another passphrase":       {ours, says("battery staple")},
		"no passphrase":            {ours, says("")},
		"a damaged key":            {bytes.Replace(ours, []byte("\n"), []byte("\nAAAA"), 1), says(secret)},
		"an encryption of no sort": {pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: []byte(`{"kdf":{"name":"none"}}`)}), says(secret)},
	} {
		_, err := ParsePrivateKey("file", c.raw, c.pass)
		if wrong, ok := errors.AsType[*PassphraseError](err); !ok || wrong.Name != "file" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := errors.New("nobody is there to ask")
	if _, err := ParsePrivateKey("file", ours, func() ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("without anybody to ask: %v", err)
	}
	foreign := bytes.ReplaceAll(ours, []byte(pemEncrypted), []byte("ENCRYPTED PRIVATE KEY"))
	if _, err := ParsePrivateKey("file", foreign, says(secret)); err == nil || !strings.Contains(err.Error(), pemEncrypted) {
		t.Errorf("openssl's: %v", err)
	}
	if _, err := key.EncryptedPEM(nil); err == nil {
		t.Error("a key was encrypted with nothing")
	}
}

// FuzzVerify feeds signatures that anybody may have written.
func FuzzVerify(f *testing.F) {
	key, err := Generate(ECDSA, "key")
	if err != nil {
		f.Fatal(err)
	}
	d := digest.FromString("root")
	raw, err := envelope([]byte(`{"_type":"`+statementType+`"}`), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"signatures":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := verifyOne(raw, d, []*PublicKey{key.Public()}); err == nil {
			t.Fatalf("accepted: %+v", e)
		}
	})
}
