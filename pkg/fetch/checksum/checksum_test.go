package checksum_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch/checksum"
)

var (
	a = strings.Repeat("0a", 32)
	b = strings.Repeat("b0", 32)
)

func TestFormsInUse(t *testing.T) {
	clear := func(text string) string {
		return "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + text + "-----BEGIN PGP SIGNATURE-----\n\niQEz\n=abcd\n-----END PGP SIGNATURE-----\n"
	}
	for name, test := range map[string]struct{ content, want string }{
		"bare":                             {a, a},
		"bare with a line's end":           {a + "\r\n", a},
		"bare in upper case":               {strings.ToUpper(a) + "\n", a},
		"GNU":                              {a + "  tool.tar.gz\n", a},
		"GNU in binary mode":               {a + " *tool.tar.gz\n", a},
		"GNU with a directory":             {a + "  ./dist/tool.tar.gz\n", a},
		"BSD":                              {"SHA256 (tool.tar.gz) = " + a + "\n", a},
		"BSD beside other kinds":           {"MD5 (tool.tar.gz) = d41d8cd98f00b204e9800998ecf8427e\nSHA256 (tool.tar.gz) = " + a + "\n", a},
		"a list":                           {b + "  other\n" + a + "  tool.tar.gz\n" + b + "  tool.tar.gz.asc\n", a},
		"a list with blanks and comments":  {"# sums\n\n" + b + "  other\n" + a + "  tool.tar.gz\n", a},
		"a list with the same twice":       {a + "  tool.tar.gz\n" + a + "  x/tool.tar.gz\n", a},
		"clear-signed":                     {clear(b + "  other\n" + a + "  tool.tar.gz\n"), a},
		"clear-signed BSD":                 {clear("SHA256 (tool.tar.gz) = " + a + "\n"), a},
		"clear-signed bare":                {clear(a + "\n"), a},
		"bare, of which the name is said":  {a + "  tool.tar.gz", a},
		"a name with blanks beside it":     {a + "  tool.tar.gz\n" + b + "  a b c\n", a},
		"clear-signed with escaped dashes": {clear(a + "  tool.tar.gz\n- " + b + "  -x\n"), a},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checksum.Find([]byte(test.content), "tool.tar.gz")
			if err != nil || got != test.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"nothing":                           "",
		"a page of the web":                 "<html><body>Not found</body></html>\n",
		"another kind of checksum":          strings.Repeat("0", 40) + "  tool.tar.gz\n",
		"md5 under the name of sha256":      "SHA256 (tool.tar.gz) = d41d8cd98f00b204e9800998ecf8427e\n",
		"two checksums of one name":         a + "  tool.tar.gz\n" + b + "  tool.tar.gz\n",
		"two checksums, one in a directory": a + "  tool.tar.gz\n" + b + "  evil/tool.tar.gz\n",
		"two bare checksums":                a + "\n" + b + "\n",
		"something before the signed text":  b + "  tool.tar.gz\n-----BEGIN PGP SIGNED MESSAGE-----\n\n" + a + "  tool.tar.gz\n-----BEGIN PGP SIGNATURE-----\n",
		"a signed text that is cut off":     "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + a + "  tool.tar.gz\n",
		"a signed text of a header alone":   "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n",
		"a line without end":                strings.Repeat("a", 1<<20),
		"a file without end":                strings.Repeat("\n", checksum.MaxSize+1),
		"a name that is missing":            a + "  \n" + b + "  x\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checksum.Find([]byte(content), "tool.tar.gz")
			if _, ok := errors.AsType[*checksum.MalformedError](err); !ok {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// What stands behind the signature is not signed, and says nothing.
func TestWhatFollowsTheSignatureIsNotRead(t *testing.T) {
	content := "-----BEGIN PGP SIGNED MESSAGE-----\n\n" + b + "  other\n-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----\n" + a + "  tool.tar.gz\n"
	_, err := checksum.Find([]byte(content), "tool.tar.gz")
	if e, ok := errors.AsType[*checksum.NotListedError](err); !ok || e.Listed != 1 {
		t.Errorf("got %v", err)
	}
}

func TestANameWithADirectoryIsNone(t *testing.T) {
	for _, name := range []string{"", "a/b", "a/"} {
		if _, err := checksum.Find([]byte(a), name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{a, a + "  tool.tar.gz\n", "SHA256 (tool.tar.gz) = " + a, "-----BEGIN PGP SIGNED MESSAGE-----\n\n" + a + "  tool.tar.gz\n-----BEGIN PGP SIGNATURE-----\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		sum, err := checksum.Find(content, "tool.tar.gz")
		if err != nil {
			return
		}
		if len(sum) != 64 || sum != strings.ToLower(sum) || !strings.Contains(strings.ToLower(string(content)), sum) {
			t.Errorf("%q was found in %q", sum, content)
		}
	})
}
