package hosts

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed entry.sh
var entryScript []byte

const (
	imageName = "kubewright-e2e-host"
	entryPath = "/usr/local/sbin/e2e-host-entry"
	// imageBuild is how long the first build may take over a slow line.
	imageBuild = 20 * time.Minute
)

// recipe is everything that decides what is inside the image. Its hash is the image's tag.
type recipe struct {
	Suite, Architecture string
	Packages            []string
	Files               map[string]file
	Masked, Unwanted    []string
}

type file struct {
	Mode    os.FileMode
	Content string
}

func newRecipe(suite string) recipe {
	return recipe{
		Suite:        suite,
		Architecture: runtime.GOARCH,
		Packages: []string{
			"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "procps", "kmod",
			"ca-certificates", "mount", "util-linux",
		},
		Files: map[string]file{
			entryPath: {0o755, string(entryScript)},
			// PAM complains at every login when it is missing.
			"/etc/default/locale": {0o644, "LANG=C.UTF-8\n"},
			"/etc/ssh/sshd_config.d/e2e-host.conf": {0o644, "" +
				"UseDNS no\n" +
				"PermitRootLogin prohibit-password\n" +
				"PasswordAuthentication yes\n" +
				"AuthorizedKeysFile /etc/ssh/authorized_keys/%u .ssh/authorized_keys\n"},
		},
		// What a host never reads; without it the image is half as big. The SSH host keys are there because each host gets
		// its own.
		Unwanted: []string{
			"var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*",
			"usr/share/locale/*", "var/log/*.log", "etc/ssh/ssh_host_*", "etc/machine-id", "var/lib/dbus/machine-id",
		},
		// What makes no sense without hardware, and what would wake up at its own time and disturb measurements.
		Masked: []string{
			"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
			"fstrim.timer", "motd-news.timer", "getty.target", "console-getty.service", "systemd-pstore.service",
			"systemd-modules-load.service", "systemd-firstboot.service", "systemd-repart.service",
			"dev-hugepages.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
			"sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service",
			"modprobe@drm.service", "modprobe@configfs.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
		},
	}
}

func (r recipe) tag() (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("hash the image recipe: %w", err)
	}
	sum := sha256.Sum256(text)
	return r.Suite + "-" + hex.EncodeToString(sum[:6]), nil
}

// defaultSuite is bookworm, except on Ubuntu, whose mirrors carry no Debian.
func defaultSuite() string {
	if d := thisDistribution(); d.ID == "ubuntu" && d.Codename != "" {
		return d.Codename
	}
	return "bookworm"
}

// EnsureImage makes sure that the engine has the image of a host and returns its reference. The root file system is
// built by debootstrap once per recipe and kept in the cache directory, so a lost engine costs only an import.
func EnsureImage(ctx context.Context, o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	if o.Suite == "" {
		o.Suite = defaultSuite()
	}
	r := newRecipe(o.Suite)
	tag, err := r.tag()
	if err != nil {
		return "", err
	}
	reference := imageName + ":" + tag
	if imageExists(ctx, reference) {
		return reference, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imageBuild)
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(o.CacheDir, tag+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if imageExists(ctx, reference) {
		return reference, nil
	}
	archive := filepath.Join(o.CacheDir, tag+".tar")
	if _, err := os.Stat(archive); errors.Is(err, os.ErrNotExist) {
		if err := buildRootfs(ctx, r, archive, o.Log); err != nil {
			return "", fmt.Errorf("build the root file system of the hosts: %w", err)
		}
	}
	o.Log("importing the host image %s", reference)
	if _, err := docker(ctx, "import", "--change", `ENTRYPOINT ["`+entryPath+`"]`, archive, reference); err != nil {
		return "", fmt.Errorf("import %s (remove it if it is damaged): %w", archive, err)
	}
	return reference, nil
}

func imageExists(ctx context.Context, reference string) bool {
	_, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", reference)
	return err == nil
}
