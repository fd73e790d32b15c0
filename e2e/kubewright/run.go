// Package kubewright runs the kubewright program and the kubectl out of a bundle, the way a user does. It knows their command lines
// and nothing of the code behind them.
package kubewright

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// Installation is one state directory with the cluster description that belongs to it.
type Installation struct {
	// Program and Bundle are paths.
	Program, Bundle string
	// Bases are the bundles that Bundle is a delta to.
	Bases []string
	// Dir holds cluster.yaml, the state directory and kubectl.
	Dir string
	// Name of the cluster.
	Name string
	// Output receives what the program prints; nil drops it.
	Output io.Writer
}

// Program is the absolute path of the built program, from KUBEWRIGHT_BIN or the repository's bin directory.
func Program(repository string) (string, error) {
	path := os.Getenv("KUBEWRIGHT_BIN")
	if path == "" {
		path = filepath.Join(repository, "bin", "kubewright")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the program is not built (run `make build`): %w", err)
	}
	return filepath.Abs(path)
}

// Built is the program and the bundle that were built, of an installation that is still to be given a directory and a name.
func Built(repository string) (*Installation, error) {
	program, err := Program(repository)
	if err != nil {
		return nil, err
	}
	bundle, err := BundlePath()
	if err != nil {
		return nil, err
	}
	return &Installation{Program: program, Bundle: bundle}, nil
}

// BuildFaulty builds the program with the faults that tests can let it have, from the repository's source.
func BuildFaulty(ctx context.Context, repository, to string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "faults", "-o", to, "./cmd/kubewright")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program with faults: %w\n%s", err, out)
	}
	return nil
}

// BundlePath is the built bundle, from KUBEWRIGHT_BUNDLE or the place `make bundle` puts it.
func BundlePath() (string, error) {
	path := os.Getenv("KUBEWRIGHT_BUNDLE")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(cache, "kubewright", "bundles", "kubernetes-1.36.bundle")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the bundle is not built (run `make bundle`): %w", err)
	}
	return path, nil
}

// Describe writes cluster.yaml for a fleet.
func (i *Installation) Describe(fleet *hosts.Fleet, o fixture.Options) error {
	o.Name = i.Name
	o.CgroupV1 = fixture.CgroupV1()
	text, err := fixture.Manifest(fleet, o)
	if err != nil {
		return err
	}
	return os.WriteFile(i.ClusterFile(), text, 0o600)
}

// ClusterFile is the description that Up uses.
func (i *Installation) ClusterFile() string { return filepath.Join(i.Dir, "cluster.yaml") }

// StateDir is kubewright's own directory.
func (i *Installation) StateDir() string { return filepath.Join(i.Dir, "state") }

// Kubeconfig is where Up leaves the credentials.
func (i *Installation) Kubeconfig() string { return filepath.Join(i.Dir, "kubeconfig") }

// Command prepares a call of the program on this installation's state.
func (i *Installation) Command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, i.Program, append(args, "--state-dir", i.StateDir())...)
	if i.Output != nil {
		command.Stdout, command.Stderr = i.Output, i.Output
	}
	return command
}

// UpCommand prepares `kubewright up`, which asks nothing.
func (i *Installation) UpCommand(ctx context.Context) *exec.Cmd {
	args := []string{"up", "-f", i.ClusterFile(), "--bundle", i.Bundle, "--kubeconfig", i.Kubeconfig(), "--yes"}
	for _, base := range i.Bases {
		args = append(args, "--base", base)
	}
	return i.Command(ctx, args...)
}

// Up runs `kubewright up` to its end and returns what it printed.
func (i *Installation) Up(ctx context.Context) (string, error) {
	command := i.UpCommand(ctx)
	var kept bytes.Buffer
	var sink io.Writer = &kept
	if i.Output != nil {
		sink = io.MultiWriter(i.Output, &kept)
	}
	command.Stdout, command.Stderr = sink, sink
	err := command.Run()
	return kept.String(), err
}

// ExitCode is the code a call ended with, or -1 when it did not run to its end.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err == nil {
		return 0
	}
	return -1
}

// Kubectl runs the bundle's kubectl on the installed cluster.
func (i *Installation) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return i.kubectlWith(ctx, i.Kubeconfig(), stdin, args...)
}

func (i *Installation) kubectlWith(ctx context.Context, kubeconfig, stdin string, args ...string) (string, error) {
	path, err := i.kubectl()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, path, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	if stdin != "" {
		command.Stdin = bytes.NewReader([]byte(stdin))
	}
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %v: %w: %s", args, err, problems.String())
	}
	return out.String(), nil
}

// Management runs the bundle's kubectl on the control plane that Up runs on this machine, while it runs.
func (i *Installation) Management(ctx context.Context, args ...string) (string, error) {
	return i.kubectlWith(ctx, filepath.Join(i.StateDir(), "admin.kubeconfig"), "", args...)
}

// kubectl takes the program out of the bundle once.
func (i *Installation) kubectl() (string, error) {
	path := filepath.Join(i.Dir, "kubectl")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b, err := bundle.OpenSet(i.Bundle, i.Bases...)
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close() }()
	file, err := b.Config().Releases[0].File("kubectl", "linux/amd64")
	if err != nil {
		return "", err
	}
	blob, err := b.Blob(file.Digest)
	if err != nil {
		return "", err
	}
	out, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(out, blob); err != nil {
		_ = out.Close()
		return "", err
	}
	if err := out.Close(); err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}
