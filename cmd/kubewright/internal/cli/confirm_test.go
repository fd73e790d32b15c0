package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestOnlyAClearYesConfirms(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "Y\n": true, "yes\n": true, " Yes \r\n": true, "yes": true,
		"": false, "\n": false, "n\n": false, "no\n": false, "yo\n": false, "y y\n": false,
	} {
		var out bytes.Buffer
		err := askYesNo(t.Context(), strings.NewReader(answer), &out, "Do this?")
		if want != (err == nil) || err != nil && !errors.Is(err, errNotConfirmed) {
			t.Errorf("%q gives %v", answer, err)
		}
		if !strings.Contains(out.String(), "Do this? [y/N]") {
			t.Errorf("the question is %q", out.String())
		}
	}
}

func TestAQuestionEndsWithCtrlC(t *testing.T) {
	in, typing := io.Pipe() // nobody types
	defer typing.Close()    //nolint:errcheck // a pipe in memory
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := askYesNo(ctx, in, io.Discard, "Do this?"); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
