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
		{"the userinfo of a URL goes", "proxy http://me:p%40ss@proxy.example.com:3128/x", "proxy http://[redacted]@proxy.example.com:3128/x"},
		{"a token in a URL goes", "clone https://ghp_abc@git.example.com", "clone https://[redacted]@git.example.com"},
		{"an address after a path stays", "GET https://example.com/users/me@example.com", "GET https://example.com/users/me@example.com"},
		{"a camel-case name tells", `dbPassword=hunter2 next`, `dbPassword=[redacted] next`},
		{"a name of several words tells", `"clientSecret": "hunter 2", "user": "me"`, `"clientSecret": "[redacted]", "user": "me"`},
		{"AWS's names tell", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG and aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=[redacted] and aws_access_key_id = [redacted]"},
		{"an access key ID goes by itself", "denied to AKIAIOSFODNN7EXAMPLE", "denied to [redacted]"},
		{"an age identity goes", "key AGE-SECRET-KEY-1QQPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQ!", "key [redacted]!"},
		{"an age identity in lower case goes", "key age-secret-key-1qqpqyqszqgp", "key [redacted]"},
		{"a recipient of age stays", "for age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "for age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"},
		{"upper-case hex goes", "key is " + strings.ToUpper(hex64), "key is [redacted]"},
		{"an upper-case digest stays", "SHA256:" + strings.ToUpper(hex64), "SHA256:" + strings.ToUpper(hex64)},
		{"a quoted value with blanks goes", `password="correct horse" user=me`, `password="[redacted]" user=me`},
		{"one in single quotes", `password: 'correct horse' # x`, `password: '[redacted]' # x`},
		{"one in escaped quotes", `{\"token\":\"abc def\",\"a\":1}`, `{\"token\":\"[redacted]\",\"a\":1}`},
		{"one whose end was cut off", `password="correct hor`, `password="[redacted]`},
		{"the value of a flag in quotes goes", `--token "a b" --v 2`, `--token "[redacted]" --v 2`},
		{"basic authorization goes", "Authorization: Basic dXNlcjpwYXNz next", "Authorization: [redacted] next"},
		{"a JWT that was cut off goes", "got eyJhbGciOiJSUzI1NiIs.eyJpc3Mi", "got [redacted]"},
		{"a certificate key that was cut off goes", "key is " + hex64[:50], "key is [redacted]"},
		{"a line of a key whose beginning was cut off goes", strings.Repeat("Ab3/", 16), "[redacted]"},
		{"a name that only begins so stays", "secretName: kubeadm-certs, tokenTTL: 24h", "secretName: kubeadm-certs, tokenTTL: 24h"},
		{"the beginning of a known secret at the end of a line goes", "it said correct horse b", "it said [redacted]"},
		{"the end of a known secret at the beginning of a line goes", "rse battery is wrong", "[redacted] is wrong"},
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

// planted is a secret that no form of a line shows, long enough to be found in what is left.
const planted = "S3cr3tPlantedValue"

func FuzzPlantedSecretsAreNotFoundAgain(f *testing.F) {
	forms := []string{
		`password=%s`, `"password": "%s"`, `dbPassword: '%s'`, `--token %s`, `--discovery-token=%s`, `AWS_SECRET_ACCESS_KEY=%s`, `clientSecret="%s"`,
		`https://user:%s@example.com/`, `https://%s@example.com`, `Authorization: Bearer %s`, `authorization=Basic %s`, `AGE-SECRET-KEY-1%s`,
		`{\"apiKey\":\"%s\"}`, `private_key = %s`, `"client-key-data":"%s"`, `encryptionKey: %s`, `passphrase=%s`,
	}
	for i := range forms {
		f.Add(i, "before ", " after", "x y")
	}
	f.Fuzz(func(t *testing.T, form int, before, after, blanks string) {
		if form < 0 || strings.ContainsAny(before+after+blanks, "\\\"'\n\r") {
			t.Skip("quotes of the surroundings decide where a value ends")
		}
		template := forms[form%len(forms)]
		value := planted
		if quote := strings.IndexAny(template, "\"'"); quote >= 0 && strings.ContainsAny(template[strings.Index(template, "%s")-1:], "\"'") {
			value = planted + blanks + planted // a value in quotes may have blanks
		}
		line := before + " " + strings.Replace(template, "%s", value, 1) + " " + after
		if got := redact.New().Line(line); strings.Contains(got, planted) {
			t.Errorf("%q became %q", line, got)
		}
		known := before + planted + after
		for _, cut := range []int{len(before) + len(planted)/2, len(before) + len(planted) - 3} {
			r := redact.New([]byte(planted))
			for _, piece := range []string{known, known[:cut], known[cut:]} {
				got := r.Line(piece)
				if strings.Contains(got, planted) || strings.HasSuffix(got, planted[:8]) || strings.HasPrefix(got, planted[8:]) {
					t.Errorf("%q became %q", piece, got)
				}
			}
		}
	})
}
