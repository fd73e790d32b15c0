// Command bench measures, on this machine and from the same bundle, how long a hand-scripted kubeadm installation of three control
// planes and one worker takes (the floor), how long `kubewright up` takes for the same, and what `kubewright up` costs when there is
// nothing to do; or the same for upgrading, growing and resetting such a cluster. docs/benchmarks.md says what the floor does and what may be concluded. It judges nothing: the numbers depend on what
// else the machine does, which is why the load average is printed with them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	floorRun      = "floor"
	kubewrightRun = "kubewright"
	bothRuns      = "both"
	version       = "v1.36.3"
	// takeDown bounds how long removing the hosts may take after an interrupt.
	takeDown = 3 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	first := flag.String("first", floorRun, "what to run first: floor or kubewright; run both orders to see what the order does")
	only := flag.String("only", bothRuns, "what to run at all: both, floor or kubewright")
	fleet := flag.String("fleet", "bench", "name of the container hosts, which are removed before and after each run")
	what := flag.String("what", "install", "what to measure: install, lifecycle (upgrading, growing, resetting a cluster that runs), or grow (the same without the upgrade, in a few minutes)")
	verbose := flag.Bool("v", false, "show everything that the runs print")
	flag.Parse()
	b := bench{out: os.Stdout, fleet: *fleet, verbose: *verbose, lifecycle: newLifecycleResults()}
	switch *what {
	case "install":
		b.count, b.runs, b.print = 4, sides{b.floor, b.kubewright}, b.results.print
	case "lifecycle", "grow":
		if b.lifecycle.begin = olderVersion; *what == "grow" {
			b.lifecycle.begin = version
		}
		b.count, b.runs, b.print = 5, sides{b.lifecycleFloor, b.lifecycleKubewright}, b.lifecycle.print
	default:
		fmt.Fprintf(os.Stderr, "bench: -what %q: say install, lifecycle or grow\n", *what)
		os.Exit(2)
	}
	if err := b.run(ctx, *first, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	out     io.Writer
	fleet   string
	verbose bool
	results results
	// lifecycle holds the results of a cluster that runs already.
	lifecycle lifecycleResults
	// count of hosts, what to run on them, and how to print what came of it.
	count int
	runs  sides
	print func(io.Writer) error
}

// sides are the two that are compared.
type sides struct {
	floor      func(context.Context, *hosts.Fleet, *bundle.Bundle) error
	kubewright func(ctx context.Context, fleet *hosts.Fleet, bundlePath string) error
}

func (b *bench) run(ctx context.Context, first, only string) error {
	order := []string{floorRun, kubewrightRun}
	switch first {
	case floorRun:
	case kubewrightRun:
		slices.Reverse(order)
	default:
		return fmt.Errorf("-first %q: say %s or %s", first, floorRun, kubewrightRun)
	}
	switch only {
	case bothRuns:
	case floorRun, kubewrightRun:
		order = []string{only}
	default:
		return fmt.Errorf("-only %q: say %s, %s or %s", only, bothRuns, floorRun, kubewrightRun)
	}
	path, err := kubewright.BundlePath()
	if err != nil {
		return err
	}
	opened, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	for _, name := range order {
		// Neither side shall pay for reading the bundle from a cold disk.
		if err := warm(path); err != nil {
			return err
		}
		if err := b.onFreshHosts(ctx, func(fleet *hosts.Fleet) error {
			if name == floorRun {
				return b.runs.floor(ctx, fleet, opened)
			}
			return b.runs.kubewright(ctx, fleet, path)
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.print(b.out)
}

// onFreshHosts boots hosts, which is not measured, and removes them whatever happens.
func (b *bench) onFreshHosts(ctx context.Context, do func(*hosts.Fleet) error) (err error) {
	options := hosts.Options{Name: b.fleet, Count: b.count}
	if b.verbose {
		options.Log = func(format string, args ...any) { b.say(format, args...) }
	}
	fleet, err := hosts.Up(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		// Also after an interrupt.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeDown)
		defer cancel()
		err = errors.Join(err, fleet.Down(clean))
	}()
	return do(fleet)
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...)
}

func warm(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(io.Discard, struct{ io.Reader }{file})
	return err
}
