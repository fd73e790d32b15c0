package hosts

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// distribution is what /etc/os-release says about this machine.
type distribution struct {
	ID, Like, Codename string
}

func thisDistribution() distribution {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return distribution{}
	}
	return parseOSRelease(text)
}

func parseOSRelease(text []byte) distribution {
	var d distribution
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			d.ID = value
		case "ID_LIKE":
			d.Like = value
		case "VERSION_CODENAME":
			d.Codename = value
		}
	}
	return d
}

// hasApt says whether packages come the Debian way.
func (d distribution) hasApt() bool {
	for _, id := range append(strings.Fields(d.Like), d.ID) {
		if id == "debian" || id == "ubuntu" {
			return true
		}
	}
	return false
}

func haveProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// installPackages installs distribution packages, for root on Debian and Ubuntu only.
func installPackages(ctx context.Context, log func(string, ...any), packages ...string) error {
	if len(packages) == 0 {
		return nil
	}
	names := strings.Join(packages, " ")
	if !haveProgram("apt-get") || !thisDistribution().hasApt() {
		return fmt.Errorf("%s missing, and this is neither Debian nor Ubuntu: install it by hand", names)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s missing: run this as root, or `apt-get install %s`", names, names)
	}
	log("installing %s", names)
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	install := append([]string{"apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends"}, packages...)
	if _, err := commandEnv(ctx, nil, env, install...); err == nil {
		return nil
	}
	// The package lists of a fresh machine are empty or old.
	if _, err := commandEnv(ctx, nil, env, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"); err != nil {
		return fmt.Errorf("install %s: %w", names, err)
	}
	if _, err := commandEnv(ctx, nil, env, install...); err != nil {
		return fmt.Errorf("install %s: %w", names, err)
	}
	return nil
}
