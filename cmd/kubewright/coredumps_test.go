package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheProgramLeavesNoCoreDumps(t *testing.T) {
	if os.Getenv("FORBID_CORE_DUMPS") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestTheProgramLeavesNoCoreDumps$")
		cmd.Env = append(os.Environ(), "FORBID_CORE_DUMPS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := forbidCoreDumps(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("the limit is %+v, %v", limit, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "ulimit -c").Output()
	if err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("a child may leave %s, %v", out, err)
	}
}
