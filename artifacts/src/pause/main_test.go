package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestItEndsAtOnceWhenAskedForItsVersion guards kubeadm's check before an upgrade, which waits for it in vain otherwise.
func TestItEndsAtOnceWhenAskedForItsVersion(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pause")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-v").Output()
	if err != nil {
		t.Fatalf("pause -v: %v", err)
	}
	if strings.TrimSpace(string(out)) == "" {
		t.Error("it says nothing")
	}
}
