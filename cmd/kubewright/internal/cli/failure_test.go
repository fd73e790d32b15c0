package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/engine"
)

func TestWhatFailedOnSeveralHostsHasALineForEach(t *testing.T) {
	fail := func(host, message string) engine.Outcome {
		return engine.Outcome{Step: "host/connect", Host: host, State: engine.StateFailed, Message: message}
	}
	one := &engine.RunError{Failures: []engine.Outcome{fail("n1", "refused")}}
	two := &engine.RunError{Failures: []engine.Outcome{fail("n2", "no route"), fail("n3", "timed out\x1b[2J")}}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"one host": {one, "Error: 1 step failed: host/connect on n1: refused\n"},
		"several, out of two runs": {failed(fmt.Errorf("look: %w", errors.Join(one, two)), "again"), "Error: 3 steps failed:\n  n1: host/connect: refused\n  n2: host/connect: no route\n" +
			"  n3: host/connect: timed out\nHint: again\n"},
		"another error": {errors.New("x"), "Error: x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if code := report(&b, c.err); code != ExitFailed || b.String() != c.want {
				t.Errorf("exit code %d\n%s\nwant\n%s", code, b.String(), c.want)
			}
		})
	}
}
