package hosts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
)

// Exec runs a program as root on a host, not over SSH but through the engine, and returns its standard output. When it
// fails the error wraps a *CommandError. The arguments reach the program as they are, without a shell.
func (f *Fleet) Exec(ctx context.Context, name string, argv ...string) ([]byte, error) {
	return f.ExecInput(ctx, name, nil, argv...)
}

// ExecInput is Exec with something on standard input.
func (f *Fleet) ExecInput(ctx context.Context, name string, stdin io.Reader, argv ...string) ([]byte, error) {
	host, err := f.Host(name)
	if err != nil {
		return nil, err
	}
	args := []string{"docker", "exec"}
	if stdin != nil {
		args = append(args, "--interactive")
	}
	text, err := command(ctx, stdin, append(append(args, host.Container), argv...)...)
	if err != nil {
		return text, fmt.Errorf("host %s: %w", name, err)
	}
	return text, nil
}

// WriteFile puts a file on a host, with missing directories, as root.
func (f *Fleet) WriteFile(ctx context.Context, name, path string, mode os.FileMode, content []byte) error {
	_, err := f.ExecInput(ctx, name, bytes.NewReader(content), "install", "-D", "-m", fmt.Sprintf("%04o", mode.Perm()), "/dev/stdin", path)
	return err
}
