package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestOnlyAClearYesConfirms(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "Y\n": true, "yes\n": true, " Yes \r\n": true, "yes": true,
		"": false, "\n": false, "n\n": false, "no\n": false, "yo\n": false, "y y\n": false,
	} {
		var out bytes.Buffer
		err := askYesNo(strings.NewReader(answer), &out, "Do this?")
		if want != (err == nil) || err != nil && !errors.Is(err, errNotConfirmed) {
			t.Errorf("%q gives %v", answer, err)
		}
		if !strings.Contains(out.String(), "Do this? [y/N]") {
			t.Errorf("the question is %q", out.String())
		}
	}
}
