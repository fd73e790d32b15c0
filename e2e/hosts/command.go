package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// command runs one program to its end and returns its standard output. A failure is a *CommandError.
func command(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return commandEnv(ctx, stdin, nil, args...)
}

// commandEnv is command with an environment of its own; nil means this process's.
func commandEnv(ctx context.Context, stdin io.Reader, env []string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, &stdout, &stderr, env
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s %s: %w", args[0], args[1], ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.Bytes(), &CommandError{Args: args, ExitCode: exit.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", args[0], err)
	}
	return stdout.Bytes(), nil
}

// docker runs the docker command line; its default context or DOCKER_HOST decides which engine that is.
func docker(ctx context.Context, args ...string) ([]byte, error) {
	return command(ctx, nil, append([]string{"docker"}, args...)...)
}
