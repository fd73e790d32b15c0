//go:build e2e

package secrets

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// sampleEvery is short beside the life of what is started on hosts, and long enough to leave the machine to the test.
const sampleEvery = 50 * time.Millisecond

// watchProcesses notes the arguments and the environment of every process of this machine, and so of its container hosts, until ctx ends. A
// process is noted again when it becomes another program.
func watchProcesses(ctx context.Context, h *hunt) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	known := map[int]string{}
	for {
		known = sample(h, known)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sample looks at all processes once, and returns those there are.
func sample(h *hunt, known map[int]string) map[int]string {
	now := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return known
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		// A process may have ended meanwhile, here and below; threads of the kernel have no arguments.
		argv, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(argv) == 0 {
			continue
		}
		now[pid] = string(argv)
		if known[pid] == string(argv) {
			continue
		}
		program, _, _ := bytes.Cut(argv, []byte{0})
		from := fmt.Sprintf("process %d, %s", pid, program)
		h.add(arguments, from, argv)
		if environment, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
			h.add(environs, from, environment)
		}
	}
	return now
}
