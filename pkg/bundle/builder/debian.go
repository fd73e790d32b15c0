package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// DebianLock is the file with the pinned Debian packages.
type DebianLock struct {
	// Distribution says in words which release the packages are of.
	Distribution string `json:"distribution"`
	// Platform is the one the hashes are for.
	Platform string `json:"platform"`
	// Packages are everything that files are taken from.
	Packages []DebianPackage `json:"packages"`
}

// DebianPackage is one binary package.
type DebianPackage struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Digest  digest.Digest `json:"digest"`
}

// PackageGoneError says that the machine's package sources no longer have a pinned package.
type PackageGoneError struct {
	// Package is the pinned one, Offered the version that is offered instead.
	Package DebianPackage
	Offered string
}

func (e *PackageGoneError) Error() string {
	return fmt.Sprintf("Debian package %s %s is pinned, but the machine's package sources offer %s; refresh the pins with `bundle build --update-debian`, or build without --locked",
		e.Package.Name, e.Package.Version, e.Offered)
}

// debianRoot is a directory with the files of all packages, unpacked.
type debianRoot struct {
	dir string
	key string
	// packages are those that were used, which may be newer than the pinned ones.
	packages []DebianPackage
}

func loadDebianLock(file string) (*DebianLock, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read pinned Debian packages: %w", err)
	}
	lock := &DebianLock{}
	if err := yaml.UnmarshalStrict(raw, lock); err != nil {
		return nil, fmt.Errorf("pinned Debian packages %s: %w", file, err)
	}
	for i, p := range lock.Packages {
		if p.Name == "" || strings.HasPrefix(p.Name, "-") || strings.ContainsAny(p.Name+p.Version, " =/") {
			return nil, &FieldError{File: file, Field: fmt.Sprintf("packages[%d].name", i), Reason: "not a package name and version"}
		}
	}
	return lock, nil
}

// prepareDebian fetches and unpacks the packages, or finds that done already.
func (b *build) prepareDebian(ctx context.Context) error {
	if b.def.Debian == "" {
		return nil
	}
	start := time.Now()
	file := filepath.Join(b.def.dir, b.def.Debian)
	lock, err := loadDebianLock(file)
	if err != nil {
		return err
	}
	if lock.Platform != b.platform {
		return &FieldError{File: file, Field: "platform", Reason: fmt.Sprintf("it is %q, this machine is %s", lock.Platform, b.platform)}
	}
	root := &debianRoot{packages: slices.Clone(lock.Packages)}
	files := make([]string, len(lock.Packages))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range root.packages {
		group.Go(func() (err error) {
			files[i], err = b.debianPackage(gctx, &root.packages[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if root.key, err = keyOf(root.packages); err != nil {
		return err
	}
	var hit bool
	root.dir, hit, err = b.cache.get(ctx, "debian-root", root.key, func(tmp string) error {
		for _, f := range files {
			if _, err := run(exec.CommandContext(ctx, "dpkg-deb", "-x", f, tmp)); err != nil {
				return fmt.Errorf("unpack %s: %w", filepath.Base(f), err)
			}
		}
		return os.Chmod(tmp, 0o755)
	})
	if err != nil {
		return err
	}
	b.debian = root
	for _, p := range root.packages {
		b.sources = append(b.sources, bundle.Component{Name: p.Name, Version: p.Version, Type: "Debian", Checksum: string(p.Digest)})
	}
	state := StateDone
	if hit {
		state = StateCached
	}
	b.tell(Event{Component: "debian", State: state, Detail: fmt.Sprintf("%d packages", len(files)), Duration: time.Since(start)})
	return nil
}

// debianPackage returns the package's file out of the cache, fetching it if need be. When only another version is to be
// had, p becomes that one, unless the build is locked.
func (b *build) debianPackage(ctx context.Context, p *DebianPackage) (string, error) {
	if p.Digest != "" {
		file := filepath.Join(b.cache.dir, "debian", p.Digest.Encoded(), "package.deb")
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	offer, err := b.debianOffer(ctx, p.Name, p.Version)
	if err != nil {
		latest, lerr := b.debianOffer(ctx, p.Name, "")
		if lerr != nil {
			return "", lerr
		}
		if b.o.Locked {
			return "", &PackageGoneError{Package: *p, Offered: latest.Version}
		}
		b.tell(Event{Component: "debian", State: StateWarning, Detail: fmt.Sprintf("%s %s is pinned but gone, taking %s: the digest will differ from a build with the pinned packages", p.Name, p.Version, latest.Version)})
		offer = latest
	} else if p.Digest != "" && offer.Digest != p.Digest {
		return "", fmt.Errorf("the machine's package sources offer %s %s with digest %s, but %s is pinned; check the package sources", p.Name, p.Version, offer.Digest, p.Digest)
	}
	*p = offer
	dir, _, err := b.cache.get(ctx, "debian", p.Digest.Encoded(), func(tmp string) error {
		cmd := exec.CommandContext(ctx, "apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", p.Name+"="+p.Version)
		cmd.Dir = tmp
		if _, err := run(cmd); err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("apt-get download %s left %d files: %w", p.Name, len(found), err)
		}
		got, _, err := hashFile(found[0])
		if err != nil {
			return err
		}
		if got != p.Digest {
			return fmt.Errorf("package %s %s has digest %s, expected %s", p.Name, p.Version, got, p.Digest)
		}
		return os.Rename(found[0], filepath.Join(tmp, "package.deb"))
	})
	return filepath.Join(dir, "package.deb"), err
}

// debianOffer asks apt for a package's version and hash; an empty version means the newest. apt vouches for the hash by
// the distribution's signature.
func (b *build) debianOffer(ctx context.Context, name, version string) (DebianPackage, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return DebianPackage{}, fmt.Errorf("files of Debian packages are needed, and this machine has no apt-get: build on Debian or Ubuntu (%w)", err)
	}
	what := name
	if version != "" {
		what += "=" + version
	}
	out, err := run(exec.CommandContext(ctx, "apt-get", "-qq", "--print-uris", "download", what))
	if err != nil && version == "" {
		if uerr := b.updateAptLists(ctx); uerr != nil {
			return DebianPackage{}, errors.Join(err, uerr)
		}
		out, err = run(exec.CommandContext(ctx, "apt-get", "-qq", "--print-uris", "download", what))
	}
	if err != nil {
		return DebianPackage{}, fmt.Errorf("ask apt-get for package %s: %w", what, err)
	}
	return parseOffer(name, string(out))
}

// updateAptLists fetches the machine's package lists, once per build, which only root may do.
func (b *build) updateAptLists(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("the machine's package lists are missing or old: run `apt-get update` as root, then build again")
	}
	unlock, err := b.cache.lock(ctx, "apt-update")
	if err != nil {
		return err
	}
	_, err = run(exec.CommandContext(ctx, "apt-get", "-qq", "update"))
	return errors.Join(err, unlock())
}

// parseOffer reads the line 'URI' FILE SIZE SHA256:HEX, where FILE is NAME_VERSION_ARCH.deb with ':' written as %3a.
func parseOffer(name, out string) (DebianPackage, error) {
	fields := strings.Fields(out)
	if len(fields) >= 4 {
		parts := strings.Split(fields[len(fields)-3], "_")
		hex, ok := strings.CutPrefix(fields[len(fields)-1], "SHA256:")
		if d := digest.NewDigestFromEncoded(digest.SHA256, hex); ok && len(parts) == 3 && d.Validate() == nil {
			return DebianPackage{Name: name, Version: strings.ReplaceAll(parts[1], "%3a", ":"), Digest: d}, nil
		}
	}
	return DebianPackage{}, fmt.Errorf("apt-get gave no SHA256 for package %s: %q", name, tail(out, 3))
}

// UpdateDebianLock asks the machine's package sources for the newest version of every package a definition's lock file
// names and writes the file anew. It returns the file's name.
func UpdateDebianLock(ctx context.Context, definition, cacheDir string) (string, error) {
	def, err := LoadDefinition(definition)
	if err != nil {
		return "", err
	}
	if def.Debian == "" {
		return "", &FieldError{File: definition, Field: "debian", Reason: "the definition uses no Debian packages"}
	}
	c, err := openCache(cacheDir)
	if err != nil {
		return "", err
	}
	b := &build{def: def, cache: c}
	file := filepath.Join(def.dir, def.Debian)
	lock, err := loadDebianLock(file)
	if err != nil {
		return "", err
	}
	for i, p := range lock.Packages {
		if lock.Packages[i], err = b.debianOffer(ctx, p.Name, ""); err != nil {
			return "", err
		}
	}
	raw, err := yaml.Marshal(lock)
	if err != nil {
		return "", err
	}
	head := "# The Debian packages that images take files from. Written by `kubewright bundle build --update-debian`.\n"
	return file, os.WriteFile(file, append([]byte(head), raw...), 0o644)
}
