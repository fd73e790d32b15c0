// Command bundle measures what a bundle costs: verifying, importing and serving it, side by side with the plainest way to do the same on
// the same file in the same run. Every phase runs in a process of its own, so that its peak memory is its own too.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

// phase does one thing with a file and has a directory to write to.
type phase func(ctx context.Context, file, scratch string) (outcome, error)

// outcome is how much content a phase went over, and how long that took; nothing means all its time.
type outcome struct {
	bytes int64
	took  time.Duration
	// io is what was read and written where that is not all and only what this process did; peakOfChild is the most memory that a program
	// it started held.
	io          *ioCount
	peakOfChild int64
}

// phases are what can be measured, by name.
func phases() map[string]phase {
	return map[string]phase{
		"sha256-one": hashWhole, "sha256-all": hashParts, "verify": verify, "import": importBundle, "copy": copyBundle, "fetch": fetchAndImport,
		"serve-plain": servePlain, "serve": serveBundle,
	}
}

// result is what one phase did.
type result struct {
	// Bytes is how much content it went over, Read and Written how much it asked the kernel for.
	Bytes, Read, Written int64
	Duration             time.Duration
	// Peak is the most memory it held, in bytes.
	Peak int64
}

func (r result) speed() float64 {
	return float64(r.Bytes) / (1 << 20) / max(r.Duration.Seconds(), 1e-9)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-bundle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "serve-file" {
		return serveFile(args[1])
	}
	switch len(args) {
	case 1:
		return measureAll(ctx, args[0])
	case 3:
		return measure(ctx, args[0], args[1], args[2])
	default:
		return fmt.Errorf("usage: bundle FILE")
	}
}

// measure runs one phase in this process and prints its result.
func measure(ctx context.Context, name, file, scratch string) error {
	do, ok := phases()[name]
	if !ok {
		return fmt.Errorf("there is no phase %q", name)
	}
	before, err := readIO()
	if err != nil {
		return err
	}
	start := time.Now()
	done, err := do(ctx, file, scratch)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r := result{Bytes: done.bytes, Duration: cmp.Or(done.took, time.Since(start))}
	after, err := readIO()
	if err != nil {
		return err
	}
	r.Read, r.Written = after.read-before.read, after.written-before.written
	if done.io != nil {
		r.Read, r.Written = done.io.read, done.io.written
	}
	if r.Peak, err = peakMemory(); err != nil {
		return err
	}
	r.Peak += done.peakOfChild
	return json.NewEncoder(os.Stdout).Encode(r)
}

// measureAll runs all phases and prints how they compare.
func measureAll(ctx context.Context, file string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(file), ".bench-bundle-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(scratch); err == nil {
			err = e
		}
	}()
	results := map[string]result{}
	// The first reads the file into memory, so that all that follow find it there; it counts for nothing.
	for _, phase := range []string{"sha256-one", "sha256-one", "sha256-all", "verify", "import", "fetch", "copy", "serve-plain", "serve"} {
		out, err := exec.CommandContext(ctx, self, phase, file, scratch).Output()
		if err != nil {
			if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it as it is
				return fmt.Errorf("%s: %w\n%s", phase, err, exit.Stderr)
			}
			return fmt.Errorf("%s: %w", phase, err)
		}
		var r result
		if err := json.Unmarshal(out, &r); err != nil {
			return fmt.Errorf("%s: %w", phase, err)
		}
		results[phase] = r
	}
	report(os.Stdout, file, results)
	return nil
}

func report(w io.Writer, file string, all map[string]result) {
	load, _ := os.ReadFile("/proc/loadavg") // it only explains the figures
	_, _ = fmt.Fprintf(w, "%s on %d cores, load %s\n", filepath.Base(file), runtime.NumCPU(), load)
	_, _ = fmt.Fprintf(w, "%-34s %9s %9s %9s %11s %9s\n", "", "MiB/s", "seconds", "read/byte", "written/byte", "peak MiB")
	for _, line := range []struct{ phase, name string }{
		{"sha256-one", "sha256 of the file, one core"}, {"sha256-all", "sha256 of the file, all cores"}, {"verify", "verify"},
		{"import", "import (open, verify)"}, {"fetch", "fetch + import"}, {"copy", "copy (verify, write)"},
		{"serve-plain", "file server, 8 clients"}, {"serve", "serve, 8 clients"},
	} {
		r := all[line.phase]
		_, _ = fmt.Fprintf(w, "%-34.34s %9.0f %9.2f %9.2f %11.2f %9d\n", line.name, r.speed(), r.Duration.Seconds(),
			float64(r.Read)/float64(r.Bytes), float64(r.Written)/float64(r.Bytes), r.Peak>>20)
	}
	_, _ = fmt.Fprintf(w, "verify / sha256 on all cores: %.2f   serve / file server: %.2f\n",
		all["verify"].speed()/all["sha256-all"].speed(), all["serve"].speed()/all["serve-plain"].speed())
}
