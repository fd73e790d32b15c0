package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// authorityMarker begins the line of a key whose certificates for hosts are trusted, as in known_hosts (sshd(8)).
const authorityMarker = "@cert-authority"

// certificateOf puts a user certificate in front of the key it is for; the second result says what is wrong with it.
func certificateOf(signer ssh.Signer, line []byte, now time.Time) (ssh.Signer, string) {
	key, _, _, rest, err := ssh.ParseAuthorizedKey(line)
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, "the certificate is not one line as in a file *-cert.pub"
	}
	cert, ok := key.(*ssh.Certificate)
	switch {
	case !ok:
		return nil, "the certificate is a plain public key: give the content of the file *-cert.pub"
	case cert.CertType != ssh.UserCert:
		return nil, "the certificate is one for hosts, not for users"
	case !bytes.Equal(cert.Key.Marshal(), signer.PublicKey().Marshal()):
		return nil, "the certificate is not for the private key"
	case cert.ValidBefore != ssh.CertTimeInfinity && now.Unix() >= int64(cert.ValidBefore): //nolint:gosec // a time, far below the limit
		return nil, "the certificate was good until " + time.Unix(int64(cert.ValidBefore), 0).UTC().Format(time.RFC3339) + ": give one that is good now" //nolint:gosec // as above
	}
	signed, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, "the certificate cannot be used: " + err.Error()
	}
	return signed, ""
}

// vouched checks a certificate that a host presented: one of the authorities must have signed it, for this host and for now.
func vouched(cert *ssh.Certificate, authorities []ssh.PublicKey, principal string, now time.Time) error {
	known := false
	for _, a := range authorities {
		known = known || sameKey(a, cert.SignatureKey)
	}
	switch {
	case cert.CertType != ssh.HostCert:
		return errors.New("it is one for users, not for hosts")
	case !known:
		return fmt.Errorf("it was signed by %s", fingerprint(cert.SignatureKey))
	case cert.Signature == nil || cert.Signature.Format == ssh.KeyAlgoRSA:
		return errors.New("it was signed with SHA-1")
	case len(cert.ValidPrincipals) == 0:
		return errors.New("it names no host, so any host with one like it could stand in for another")
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return now }}
	if err := checker.CheckCert(principal, cert); err != nil {
		return fmt.Errorf("it is not good for %s now: %s", principal, strings.TrimPrefix(err.Error(), "ssh: "))
	}
	return nil
}

// certificateAlgorithms are the safe algorithms with which a host may present a certificate.
func certificateAlgorithms() []string {
	return []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
}
