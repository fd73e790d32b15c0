package redact_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/redact"
)

func TestLinesWithSecretsAreMasked(t *testing.T) {
	const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	cases := []struct{ name, in, want string }{
		{"an ordinary line stays", "[init] Using Kubernetes version: v1.36.3", "[init] Using Kubernetes version: v1.36.3"},
		{"colours of a terminal go", "\x1b[0;37mCGROUPS_CPU\x1b[0m: \x1b[0;31mmissing\x1b[0m", "CGROUPS_CPU: missing"},
		{"a secret with a colour in it goes", "join with abcdef.\x1b[1m0123456789abcdef\x1b[0m now", "join with [redacted] now"},
		{"a bootstrap token goes", "join with abcdef.0123456789abcdef now", "join with [redacted] now"},
		{"a digest stays", "image sha256:" + hex64 + " present", "image sha256:" + hex64 + " present"},
		{"a certificate key goes", "key is " + hex64, "key is [redacted]"},
		{"the value of a flag goes", "--certificate-key hunter", "--certificate-key [redacted]"},
		{"a password goes", `password: "hunter2"`, `password: "[redacted]"`},
		{"a bearer token goes", "Authorization: Bearer abc.def", "Authorization: [redacted]"},
		{"a JWT goes", "got eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl!", "got [redacted]!"},
		{"the name of a Secret object stays", `secret "kubeadm-certs" not found`, `secret "kubeadm-certs" not found`},
		{"a known secret goes", "it said correct horse battery", "it said [redacted]"},
		{"a long word of a known secret goes", "value longvalue-longvalue-1 in use", "value [redacted] in use"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := redact.New([]byte("correct horse battery\nkey: longvalue-longvalue-1\n"))
			if got := r.Line(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAPrivateKeyIsMaskedFromItsFirstLineToItsLast(t *testing.T) {
	in := []string{"before", "-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA", "c2VjcmV0", "-----END RSA PRIVATE KEY-----", "after"}
	got := redact.New().Lines(in)
	if all := strings.Join(got, "|"); strings.Contains(all, "MII") || strings.Contains(all, "c2Vj") || got[0] != "before" || got[5] != "after" {
		t.Errorf("got %q", got)
	}
}
