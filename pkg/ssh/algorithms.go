package ssh

import (
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Every algorithm that this package offers stands here. None rests on SHA-1, whose collisions are within reach (RFC 9142, RFC 8332), none
// is CBC or RC4. A server of the last ten years knows some of each: OpenSSH has curve25519-sha256 since 6.5 and rsa-sha2-256 since 7.2.

// cipherOrder prefers AES-GCM with the short key, which CPUs with AES instructions do fastest, then ChaCha20 for those
// without; the rest is there for old servers.
func cipherOrder() []string {
	return []string{
		ssh.CipherAES128GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256GCM,
		ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
	}
}

// keyExchanges prefers what also resists quantum computers, then elliptic curves.
func keyExchanges() []string {
	return []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
		ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeDHGEXSHA256,
	}
}

// macs matter with the ciphers in counter mode alone.
func macs() []string {
	return []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512}
}

// withoutSHA1 keeps an RSA key from signing in the old way, which is what a server is given that says nothing of what it takes.
func withoutSHA1(signer ssh.Signer) (ssh.Signer, error) {
	if signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return signer, nil
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("an RSA key of type %T cannot sign with SHA-2", signer)
	}
	return ssh.NewSignerWithAlgorithms(able, algorithmsFor(ssh.KeyAlgoRSA))
}
