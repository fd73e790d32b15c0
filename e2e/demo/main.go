// Command demo boots 4 container hosts, runs `kubewright up` on them as a user would, and shows that the cluster works: nodes Ready,
// a Service of pods on different nodes answering by its DNS name, metrics. Run again it finds the hosts and the cluster there.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fresh := flag.Bool("fresh", false, "boot new hosts even if the last ones still run")
	flag.Parse()
	if err := run(ctx, *fresh); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, fresh bool) error {
	began := time.Now()
	installation, err := prepare()
	if err != nil {
		return err
	}
	fleet, err := boot(ctx, installation, fresh)
	if err != nil {
		return err
	}
	fmt.Printf("==> %d hosts on a network with no way out, after %s\n", len(fleet.Hosts()), since(began))
	if err := installation.Describe(fleet, fixture.Options{
		Version: "v1.36.3", ControlPlanes: []string{"n1", "n2", "n3"}, Workers: []string{"n4"}, User: "ops",
	}); err != nil {
		return err
	}
	fmt.Printf("==> kubewright up -f %s --bundle %s\n", installation.ClusterFile(), installation.Bundle)
	up := installation.UpCommand(ctx)
	up.Stdin, up.Stdout, up.Stderr = os.Stdin, os.Stdout, os.Stderr
	// An interrupt reaches the whole foreground group; kubewright stops by itself and says how to go on.
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	if err := up.Run(); err != nil {
		return fmt.Errorf("kubewright up: %w", err)
	}
	if err := show(ctx, installation); err != nil {
		return err
	}
	fmt.Printf("\n==> all of it took %s\n", since(began))
	fmt.Printf(`
Look further:
  export KUBECONFIG=%s
  %s get pods -A -o wide
  %s status --state-dir %s
  %s logs --state-dir %s
  make demo          (again: nothing to do)
  make hosts-down FLEET=demo
`, installation.Kubeconfig(), filepath.Join(installation.Dir, "kubectl"), installation.Program, installation.StateDir(), installation.Program, installation.StateDir())
	return nil
}

func prepare() (*kubewright.Installation, error) {
	repository, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	i, err := kubewright.Built(repository)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "kubewright", "demo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	i.Dir, i.Name = dir, "demo"
	return i, nil
}

// boot keeps hosts that run. The state directory belongs to the hosts: new hosts mean a new state.
func boot(ctx context.Context, i *kubewright.Installation, fresh bool) (*hosts.Fleet, error) {
	options := hosts.Options{Name: "demo", Count: 4, Log: func(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }}
	if !fresh {
		if fleet, err := hosts.Open(ctx, options); err == nil && len(fleet.Hosts()) == options.Count && allRun(ctx, fleet) {
			return fleet, nil
		}
	}
	if err := os.RemoveAll(i.StateDir()); err != nil {
		return nil, err
	}
	return hosts.Up(ctx, options)
}

func allRun(ctx context.Context, fleet *hosts.Fleet) bool {
	for _, h := range fleet.Hosts() {
		if _, err := fleet.Exec(ctx, h.Name, "true"); err != nil {
			return false
		}
	}
	return true
}

func show(ctx context.Context, i *kubewright.Installation) error {
	for _, part := range []struct {
		title string
		args  []string
	}{
		{"nodes", []string{"get", "nodes", "-o", "wide"}},
		{"system pods", []string{"get", "pods", "-A", "-o", "wide"}},
	} {
		out, err := i.Kubectl(ctx, "", part.args...)
		if err != nil {
			return err
		}
		fmt.Printf("\n==> %s\n%s", part.title, out)
	}
	fmt.Printf("\n==> a Service of 2 replicas on different nodes, asked by its DNS name from a pod\n")
	report, err := i.AskService(ctx)
	if err != nil {
		return err
	}
	fmt.Print(report)
	top, err := i.TopNodes(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n==> kubectl top nodes\n%s", top)
	return nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
