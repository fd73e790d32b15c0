package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/pkg/ssh"
)

// PlatformError says that a host is of a platform that the bundle holds nothing for. Nothing was placed on it.
type PlatformError struct {
	// Host by name, its Platform such as linux/arm64.
	Host, Platform string
	// Version of Kubernetes that was wanted, Available the platforms the bundle has it for.
	Version   string
	Available []string
}

// Error implements error.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("host %s is %s, the bundle holds %s for %s only; build or choose a bundle with that platform",
		e.Host, e.Platform, e.Version, strings.Join(e.Available, ", "))
}

// askPlatform asks a host for its platform. It is empty when the host cannot say, or says something unknown: then only trying tells.
func askPlatform(ctx context.Context, client *ssh.Client) (string, error) {
	process, err := client.Start(ctx, ssh.Command{Path: "/bin/uname", Args: []string{"-m"}})
	if err != nil {
		return "", err
	}
	defer process.Close()
	defer context.AfterFunc(ctx, process.Close)()
	// The longest name of a machine is a dozen letters; what a login shell prints beside it makes the answer unknown.
	answer, err := io.ReadAll(io.LimitReader(process.Stdout, 64))
	if err != nil {
		return "", err
	}
	var exit *ssh.ExitError
	if err := process.Wait(); errors.As(err, &exit) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return platformOf(strings.TrimSpace(string(answer))), nil
}

// platformOf translates the kernel's names of machines (UTS_MACHINE in its arch Makefiles) into those of Go.
func platformOf(machine string) string {
	switch machine {
	case "x86_64":
		return "linux/amd64"
	case "aarch64":
		return "linux/arm64"
	case "loongarch64":
		return "linux/loong64"
	case "riscv64", "ppc64le", "s390x":
		return "linux/" + machine
	}
	return ""
}
