package planted_test

import (
	"encoding/base64"
	"encoding/hex"
	"testing"

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
