package builder

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
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
	return fmt.Sprintf("Debian package %s %s is pinned, but the machine's package sources offer %s; pin the newest ones with `kubewright bundle build -f DEFINITION --update-debian`, look at what changed, and build again (or take the newest unseen, with --locked=false)",
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

// debianLock returns the pinned packages of the platform; nil when there are none for it.
func (t *target) debianLock() (*DebianLock, error) {
	var found *DebianLock
	var have []string
	for _, name := range t.def.Debian {
		file := filepath.Join(t.def.dir, name)
		lock, err := loadDebianLock(file)
		if err != nil {
			return nil, err
		}
		if slices.Contains(have, lock.Platform) {
			return nil, &FieldError{File: file, Field: "platform", Reason: fmt.Sprintf("another file has the packages for %q already", lock.Platform)}
		}
		have = append(have, lock.Platform)
		if lock.Platform == t.platform {
			found = lock
		}
	}
	if found == nil && t.native && len(have) > 0 {
		return nil, &FieldError{File: filepath.Join(t.def.dir, t.def.Debian[0]), Field: "platform",
			Reason: fmt.Sprintf("it is %q, this machine is %s", have[0], t.platform)}
	}
	t.pinned = have
	return found, nil
}

// prepareDebian fetches and unpacks the packages, or finds that done already. A platform that no packages are pinned for does without.
func (t *target) prepareDebian(ctx context.Context) error {
	start := time.Now()
	lock, err := t.debianLock()
	if err != nil || lock == nil {
		return err
	}
	root := &debianRoot{packages: slices.Clone(lock.Packages)}
	if err := t.fetchDebian(ctx, root.packages); err != nil {
		return err
	}
	if root.key, err = keyOf(root.packages); err != nil {
		return err
	}
	var hit bool
	root.dir, hit, err = t.cache.get(ctx, "debian-root", root.key, func(tmp string) error {
		for _, p := range root.packages {
			if _, err := run(exec.CommandContext(ctx, "dpkg-deb", "-x", t.debianFile(p), tmp)); err != nil {
				return fmt.Errorf("unpack Debian package %s: %w", p.Name, err)
			}
		}
		return os.Chmod(tmp, 0o755)
	})
	if err != nil {
		return err
	}
	t.debian = root
	for _, p := range root.packages {
		source := bundle.Component{Name: p.Name, Version: p.Version, Type: "Debian", Checksum: string(p.Digest)}
		if t.platform != slices.Min(t.def.Platforms) {
			source.Source = debianArch(t.platform)
		}
		t.sources = append(t.sources, source)
	}
	state := StateDone
	if hit {
		state = StateCached
	}
	t.tell(Event{Component: "debian", State: state, Detail: fmt.Sprintf("%d packages", len(root.packages)), Duration: time.Since(start)})
	return nil
}

// debianFile is where the cache keeps a package.
func (b *build) debianFile(p DebianPackage) string {
	return filepath.Join(b.cache.dir, "debian", p.Digest.Encoded(), "package.deb")
}

// fetchDebian brings all packages into the cache. Where the machine's package sources have only another version than the
// pinned one, the package's entry becomes that one, unless the build is locked.
func (t *target) fetchDebian(ctx context.Context, packages []DebianPackage) error {
	var missing []*DebianPackage
	for i := range packages {
		if _, err := os.Stat(t.debianFile(packages[i])); err != nil {
			missing = append(missing, &packages[i])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	t.tell(Event{Component: "debian", State: StateStarted, Detail: fmt.Sprintf("%d packages", len(missing))})
	if err := t.settleDebian(ctx, missing); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(t.scratch, "apt-")
	if err != nil {
		return err
	}
	args := []string{"-o", "APT::Sandbox::User=root", "-qq", "download"}
	for _, p := range missing {
		args = append(args, p.Name+"="+p.Version)
	}
	cmd := t.apt().command(ctx, args...)
	cmd.Dir = dir
	if _, err := run(cmd); err != nil {
		return fmt.Errorf("download Debian packages: %w", err)
	}
	for _, p := range missing {
		found, err := filepath.Glob(filepath.Join(dir, p.Name+"_*.deb"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("apt-get download left %d files for package %s", len(found), p.Name)
		}
		got, _, err := hashFile(found[0])
		if err != nil {
			return err
		}
		if got != p.Digest {
			return fmt.Errorf("package %s %s has digest %s, expected %s", p.Name, p.Version, got, p.Digest)
		}
		if _, _, err := t.cache.get(ctx, "debian", p.Digest.Encoded(), func(tmp string) error {
			return os.Rename(found[0], filepath.Join(tmp, "package.deb"))
		}); err != nil {
			return err
		}
	}
	return nil
}

// settleDebian compares the pinned packages with what the machine's package sources offer.
func (t *target) settleDebian(ctx context.Context, packages []*DebianPackage) error {
	pinned := make([]string, len(packages))
	for i, p := range packages {
		pinned[i] = p.Name + "=" + p.Version
	}
	offers, err := t.apt().offers(ctx, pinned)
	if err != nil {
		if err := t.apt().update(ctx, t.cache); err != nil {
			return err
		}
		offers, err = t.apt().offers(ctx, pinned)
	}
	if err == nil {
		for i, p := range packages {
			if offers[i].Digest != p.Digest {
				return fmt.Errorf("the machine's package sources offer %s %s with digest %s, but %s is pinned; check the package sources",
					p.Name, p.Version, offers[i].Digest, p.Digest)
			}
		}
		return nil
	}
	for i, p := range packages {
		offers, err := t.apt().offers(ctx, pinned[i:i+1])
		if err == nil && offers[0].Digest == p.Digest {
			continue
		}
		newest, err := t.apt().offers(ctx, []string{p.Name})
		if err != nil {
			return err
		}
		if t.o.Locked {
			return &PackageGoneError{Package: *p, Offered: newest[0].Version}
		}
		t.tell(Event{Component: "debian", State: StateWarning, Detail: fmt.Sprintf(
			"%s %s is pinned but gone, taking %s: the digest will differ from a build with the pinned packages", p.Name, p.Version, newest[0].Version)})
		*p = newest[0]
	}
	return nil
}

// parseOffers reads lines of the form 'URI' FILE SIZE SHA256:HEX, where FILE is NAME_VERSION_ARCH.deb with ':' written as
// %3a, and returns them in the order of packages.
func parseOffers(packages []string, out string) ([]DebianPackage, error) {
	found := map[string]DebianPackage{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		parts := strings.Split(fields[len(fields)-3], "_")
		hex, ok := strings.CutPrefix(fields[len(fields)-1], "SHA256:")
		d := digest.NewDigestFromEncoded(digest.SHA256, hex)
		if ok && len(parts) == 3 && d.Validate() == nil {
			found[parts[0]] = DebianPackage{Name: parts[0], Version: strings.ReplaceAll(parts[1], "%3a", ":"), Digest: d}
		}
	}
	offers := make([]DebianPackage, len(packages))
	for i, p := range packages {
		name, _, _ := strings.Cut(p, "=")
		offer, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("apt-get gave no SHA256 for package %s: %q", p, tail(out, 3))
		}
		offers[i] = offer
	}
	return offers, nil
}

// UpdateDebianLock asks the machine's package sources for the newest version of every package that a definition's lock
// files name, and writes the files anew. It returns their names.
func UpdateDebianLock(ctx context.Context, definition, cacheDir string) ([]string, error) {
	def, err := LoadDefinition(definition)
	if err != nil {
		return nil, err
	}
	if len(def.Debian) == 0 {
		return nil, &FieldError{File: definition, Field: "debian", Reason: "the definition uses no Debian packages"}
	}
	c, err := openCache(cacheDir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range def.Debian {
		file := filepath.Join(def.dir, name)
		if err := updateDebianLock(ctx, file, c); err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

func updateDebianLock(ctx context.Context, file string, c cache) error {
	lock, err := loadDebianLock(file)
	if err != nil {
		return err
	}
	apt := aptFor(lock.Platform, c)
	if err := apt.update(ctx, c); err != nil {
		return err
	}
	names := make([]string, len(lock.Packages))
	for i, p := range lock.Packages {
		names[i] = p.Name
	}
	offers, err := apt.offers(ctx, names)
	if err != nil {
		return err
	}
	var out strings.Builder
	out.WriteString("# The Debian packages that images take files from. Written by `kubewright bundle build --update-debian`.\n")
	fmt.Fprintf(&out, "distribution: %s\nplatform: %s\npackages:\n", lock.Distribution, lock.Platform)
	for _, p := range offers {
		fmt.Fprintf(&out, "- {name: %s, version: %q, digest: %q}\n", p.Name, p.Version, p.Digest)
	}
	return os.WriteFile(file, []byte(out.String()), 0o644)
}
