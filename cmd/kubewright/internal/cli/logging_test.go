package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

func TestTheManagerLogsAtTheLevelAskedForAndNoLineForEachWatch(t *testing.T) {
	for level, want := range map[string][]string{
		"error": {"bad"},
		"info":  {"bad", "good"},
		"debug": {"bad", "good", "detail", "Starting EventSource"},
	} {
		var b bytes.Buffer
		handler, err := newLogHandler(&b, level)
		if err != nil {
			t.Fatal(err)
		}
		log := logr.FromSlogHandler(handler).WithValues("controller", "cluster").WithName("x")
		log.Error(nil, "bad")
		log.Info("good")
		log.V(4).Info("detail")
		log.Info("Starting EventSource", "source", "kind source: *v1alpha1.Cluster")
		if lines := strings.Count(b.String(), "\n"); lines != len(want) {
			t.Errorf("at the level %s there are %d lines:\n%s", level, lines, b.String())
		}
		for _, text := range want {
			if !strings.Contains(b.String(), text) {
				t.Errorf("at the level %s %q is missing:\n%s", level, text, b.String())
			}
		}
	}
	if _, err := newLogHandler(&bytes.Buffer{}, "loud"); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("a level that there is not: %v", err)
	}
}
