package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// apt asks the machine's package sources for packages of one platform. For another than the machine's own it has lists of its own, so
// that the machine need not be told that it can run such packages, and nobody has to be root.
type apt struct {
	// options for every command; lists is the own directory for package lists, empty for the machine's.
	options []string
	lists   string
}

// apt is what brings the platform's packages.
func (t *target) apt() apt { return aptFor(t.platform, t.cache) }

func aptFor(platform string, c cache) apt {
	if platform == runtime.GOOS+"/"+runtime.GOARCH {
		return apt{}
	}
	arch := debianArch(platform)
	dir := filepath.Join(c.dir, "apt", arch)
	a := apt{lists: filepath.Join(dir, "lists")}
	for _, option := range []string{"APT::Architecture=" + arch, "APT::Architectures=" + arch, "Dir::State::lists=" + a.lists,
		"Dir::Cache=" + filepath.Join(dir, "cache"), "Acquire::Languages=none", "APT::Sandbox::User=root"} {
		a.options = append(a.options, "-o", option)
	}
	return a
}

// debianArch is Debian's name for the architecture of a platform.
func debianArch(platform string) string {
	_, arch, _ := strings.Cut(platform, "/")
	if name, ok := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}[arch]; ok {
		return name
	}
	return arch
}

func (a apt) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "apt-get", append(append([]string{}, a.options...), args...)...)
}

// offers asks for versions and hashes of packages, each given as name or name=version. apt vouches for the hashes by the
// distribution's signature.
func (a apt) offers(ctx context.Context, packages []string) ([]DebianPackage, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, fmt.Errorf("files of Debian packages are needed, and this machine has no apt-get: build on Debian or Ubuntu (%w)", err)
	}
	out, err := run(a.command(ctx, append([]string{"-qq", "--print-uris", "download"}, packages...)...))
	if err != nil {
		return nil, fmt.Errorf("ask apt-get for packages: %w", err)
	}
	return parseOffers(packages, string(out))
}

// update fetches the package lists. Those of the machine only root may fetch.
func (a apt) update(ctx context.Context, c cache) error {
	if a.lists == "" && os.Geteuid() != 0 {
		return errors.New("the machine's package lists lack the pinned Debian packages: run `apt-get update` as root, then build again")
	}
	if a.lists != "" {
		if err := os.MkdirAll(filepath.Join(a.lists, "partial"), 0o755); err != nil {
			return fmt.Errorf("package lists: %w", err)
		}
		if err := os.MkdirAll(filepath.Join(filepath.Dir(a.lists), "cache", "archives", "partial"), 0o755); err != nil {
			return fmt.Errorf("package lists: %w", err)
		}
	}
	unlock, err := c.lock(ctx, "apt-update")
	if err != nil {
		return err
	}
	_, err = run(a.command(ctx, "-qq", "update"))
	return errors.Join(err, unlock())
}
