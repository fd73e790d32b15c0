package hosts

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

//go:embed entry.sh
var entryScript string

const (
	imageName = "kubewright-e2e-host"
	entryPath = "/usr/local/sbin/e2e-host-entry"
	// imageBuild is how long the first build may take over a slow line.
	imageBuild = 20 * time.Minute
)

// base is what decides the outcome of debootstrap. It changes seldom, and making it anew takes minutes.
type base struct {
	Suite, Architecture string
	Packages            []string
}

// recipe is everything that decides what is inside the image. Its hash is the image's tag.
type recipe struct {
	Base base
	// Files are added, by absolute path.
	Files map[string]file
	// Masked are units that systemd must not start.
	Masked []string
	// Unwanted are patterns of absolute paths that are left out, with all below them.
	Unwanted []string
}

// file is a regular file with content, or a symbolic link.
type file struct {
	Mode    int64
	Content string
	Link    string
}

func newRecipe(suite string) recipe {
	return recipe{
		Base: base{
			Suite:        suite,
			Architecture: runtime.GOARCH,
			Packages: []string{
				"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "procps", "kmod",
				"ca-certificates", "mount", "util-linux",
			},
		},
		Files: map[string]file{
			entryPath: {Mode: 0o755, Content: entryScript},
			// PAM complains at every login when it is missing.
			"/etc/default/locale": {Mode: 0o644, Content: "LANG=C.UTF-8\n"},
			"/etc/ssh/sshd_config.d/e2e-host.conf": {Mode: 0o644, Content: "" +
				"UseDNS no\n" +
				"PermitRootLogin prohibit-password\n" +
				"PasswordAuthentication yes\n" +
				"AuthorizedKeysFile /etc/ssh/authorized_keys/%u .ssh/authorized_keys\n"},
			"/etc/systemd/system/default.target": {Link: "/lib/systemd/system/multi-user.target"},
		},
		// What a host never reads; without it the image is half as big. The SSH host keys and the machine id are there
		// because each host gets its own.
		Unwanted: []string{
			"/var/cache/apt/*", "/var/lib/apt/lists/*", "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*",
			"/var/log/*.log", "/etc/ssh/ssh_host_*", "/etc/machine-id", "/var/lib/dbus/machine-id",
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

// ownFiles are all files that the recipe adds.
func (r recipe) ownFiles() map[string]file {
	own := map[string]file{}
	for name, f := range r.Files {
		own[name] = f
	}
	for _, unit := range r.Masked {
		own["/etc/systemd/system/"+unit] = file{Link: "/dev/null"}
	}
	return own
}

// contentTag names content by what it is made from.
func contentTag(suite string, from any) (string, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return "", fmt.Errorf("hash the image recipe: %w", err)
	}
	sum := sha256.Sum256(text)
	return suite + "-" + hex.EncodeToString(sum[:6]), nil
}

// defaultSuite is bookworm, except on Ubuntu, whose mirrors carry no Debian.
func defaultSuite() string {
	if d := thisDistribution(); d.ID == "ubuntu" && d.Codename != "" {
		return d.Codename
	}
	return "bookworm"
}

// EnsureImage makes sure that the engine has the image of a host and returns its reference. The root file system is
// built by debootstrap once and kept in the cache directory, so a lost engine or a changed recipe costs only an import.
func EnsureImage(ctx context.Context, o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	if o.Suite == "" {
		o.Suite = defaultSuite()
	}
	r := newRecipe(o.Suite)
	tag, err := contentTag(o.Suite, r)
	if err != nil {
		return "", err
	}
	baseTag, err := contentTag(o.Suite, r.Base)
	if err != nil {
		return "", err
	}
	reference := imageName + ":" + tag
	if imageExists(ctx, reference) {
		return reference, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imageBuild)
	defer cancel()
	archive := filepath.Join(o.CacheDir, baseTag+".tar")
	unlock, err := lock(ctx, archive+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if imageExists(ctx, reference) {
		return reference, nil
	}
	if _, err := os.Stat(archive); errors.Is(err, os.ErrNotExist) {
		if err := buildBase(ctx, r.Base, archive, o.Log); err != nil {
			return "", fmt.Errorf("build the root file system of the hosts: %w", err)
		}
	}
	o.Log("importing the host image %s", reference)
	if err := importImage(ctx, archive, reference, r); err != nil {
		return "", fmt.Errorf("import %s (remove the file if it is damaged): %w", archive, err)
	}
	removeOlder(ctx, o.Suite, reference)
	return reference, nil
}

// removeOlder drops the suite's images of earlier recipes, except those that a container still uses. Images that stay are
// a waste of disk and nothing worse, so failing is no error.
func removeOlder(ctx context.Context, suite, keep string) {
	text, err := docker(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference="+imageName+":"+suite+"-*")
	if err != nil {
		return
	}
	for _, reference := range strings.Fields(string(text)) {
		if reference != keep {
			_, _ = docker(ctx, "image", "rm", reference)
		}
	}
}

// importImage streams the customised root file system into the engine.
func importImage(ctx context.Context, archive, reference string, r recipe) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	stream, sink := io.Pipe()
	go func() { sink.CloseWithError(customise(in, sink, r, time.Now())) }()
	defer func() { _ = stream.Close() }()
	_, err = command(ctx, stream, "docker", "import", "--change", `ENTRYPOINT ["`+entryPath+`"]`, "-", reference)
	if err != nil {
		// A stream that broke off between two files looks whole to docker.
		_, _ = docker(context.WithoutCancel(ctx), "image", "rm", reference)
	}
	return err
}

func imageExists(ctx context.Context, reference string) bool {
	_, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", reference)
	return err == nil
}
