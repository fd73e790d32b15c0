package api

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	commandName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)
	unitName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.\\@-]{0,200}\.(service|socket|timer|mount|target|path)$`)
	moduleName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	sysctlKey   = regexp.MustCompile(`^[a-z0-9_-]+([./][A-Za-z0-9_.@:-]+)+$`)
	// The grammar of image references, narrowed: a registry host, a path, and a tag or digest.
	imageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// Of operations and of backups: both become file names.
	operation = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
	// The public half of an age X25519 key: Bech32 of 32 bytes.
	ageRecipient = regexp.MustCompile(`^age1[02-9ac-hj-np-z]{58}$`)
)

// Bounds of one request: far above anything a node needs, low enough that a broken peer cannot exhaust the helper.
const (
	// MaxRequestBytes bounds the JSON of a request.
	MaxRequestBytes = 32 << 20
	// MaxResources bounds the resources in one request.
	MaxResources = 2000
)

// DigestHex returns the hex part of "sha256:<hex>".
func DigestHex(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(h) != 64 || strings.ToLower(h) != h {
		return "", &InvalidError{Message: fmt.Sprintf("digest %q is not sha256:<64 hex digits>", digest)}
	}
	if _, err := hex.DecodeString(h); err != nil {
		return "", &InvalidError{Message: fmt.Sprintf("digest %q is not sha256:<64 hex digits>", digest)}
	}
	return h, nil
}

// ValidateOperation checks the name of an operation, which becomes a file name on the host.
func ValidateOperation(name string) error {
	if !operation.MatchString(name) {
		return &InvalidError{Message: fmt.Sprintf("operation name %q must be letters, digits, dots, underscores and dashes", name)}
	}
	return nil
}

// ValidateResources checks every resource and that their IDs are unique and not empty.
func ValidateResources(rs []Resource) error {
	if len(rs) > MaxResources {
		return &InvalidError{Message: fmt.Sprintf("%d resources in one request, at most %d are allowed", len(rs), MaxResources)}
	}
	seen := make(map[string]bool, len(rs))
	for i := range rs {
		r := &rs[i]
		if r.ID == "" || seen[r.ID] {
			return &InvalidError{Message: fmt.Sprintf("resource %d: the ID %q is empty or used twice", i, r.ID)}
		}
		seen[r.ID] = true
		if err := r.Validate(); err != nil {
			return &InvalidError{Message: fmt.Sprintf("resource %q: %v", r.ID, err)}
		}
	}
	return nil
}

// Validate checks the shape of one resource: names, paths and digests that can be acted upon safely.
func (r Resource) Validate() error {
	if kinds := r.set(); len(kinds) != 1 {
		return fmt.Errorf("exactly one kind must be set, got %v", kinds)
	}
	switch {
	case r.File != nil:
		return r.File.validate()
	case r.Dir != nil:
		return firstErr(absPath(r.Dir.Path), modeBits(r.Dir.Mode))
	case r.Symlink != nil:
		if r.Symlink.Target == "" || strings.ContainsRune(r.Symlink.Target, 0) {
			return fmt.Errorf("a symlink needs a target")
		}
		return absPath(r.Symlink.Path)
	case r.Absent != nil:
		return deepPath(r.Absent.Path)
	case r.Blob != nil:
		return r.Blob.validate()
	case r.Module != nil:
		return match(moduleName, "module name", r.Module.Name)
	case r.Sysctl != nil:
		return r.Sysctl.validate()
	case r.Unit != nil:
		return match(unitName, "unit name", r.Unit.Name)
	case r.Image != nil:
		return r.Image.validate()
	case r.ImagePins != nil:
		return r.ImagePins.validate()
	case r.Command != nil:
		return r.Command.validate()
	case r.Backup != nil:
		return r.Backup.Validate()
	}
	return r.Probe.validate()
}

func (f *File) validate() error {
	if f.Seal != nil && (len(f.Content) > 0 || f.Blob != "") {
		return fmt.Errorf("file %s is sealed and has content all the same", f.Path)
	}
	if f.Blob != "" {
		if len(f.Content) > 0 {
			return fmt.Errorf("file %s has both content and blob", f.Path)
		}
		if _, err := DigestHex(f.Blob); err != nil {
			return err
		}
	}
	return firstErr(absPath(f.Path), modeBits(f.Mode))
}

func (b *Blob) validate() error {
	if b.Size < 0 {
		return fmt.Errorf("blob %s has a negative size", b.Digest)
	}
	for _, p := range b.AltFiles {
		if err := absPath(p); err != nil {
			return err
		}
	}
	_, err := DigestHex(b.Digest)
	return err
}

func (s *Sysctl) validate() error {
	if strings.Contains(s.Key, "..") {
		return fmt.Errorf("sysctl key %q is not allowed", s.Key)
	}
	if s.Value == "" || strings.ContainsAny(s.Value, "\x00\n") {
		return fmt.Errorf("sysctl %s needs a value on one line", s.Key)
	}
	if _, err := strconv.ParseUint(s.Value, 10, 64); s.AtLeast && err != nil {
		return fmt.Errorf("sysctl %s cannot be at least %q, which is no number", s.Key, s.Value)
	}
	return match(sysctlKey, "sysctl key", s.Key)
}

func (i *Image) validate() error {
	if err := match(imageName, "image name", i.Name); err != nil {
		return err
	}
	for _, d := range append([]Descriptor{i.Manifest}, i.Blobs...) {
		if _, err := DigestHex(d.Digest); err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) validate() error {
	if err := match(commandName, "command name", c.Name); err != nil {
		return err
	}
	if err := c.validateArgv(c.Argv); err != nil {
		return err
	}
	if c.Begun != nil {
		if err := firstErr(absPath(c.Begun.Path), c.validateArgv(c.Begun.Argv)); err != nil {
			return err
		}
	}
	for _, n := range c.Narrower {
		if len(n.Inputs) == 0 {
			return fmt.Errorf("command %s has a narrower way without inputs, so it would always be taken", c.Name)
		}
		if err := c.validateArgv(n.Argv); err != nil {
			return err
		}
	}
	for _, p := range c.Scratch {
		if err := scratchPattern(p); err != nil {
			return fmt.Errorf("command %s: %w", c.Name, err)
		}
	}
	if c.Key == "" {
		return fmt.Errorf("command %s has no key, so its receipt could never be told from another's", c.Name)
	}
	for k, v := range c.Env {
		if !envName.MatchString(k) || strings.ContainsRune(v, 0) {
			return fmt.Errorf("command %s: environment variable %q is not allowed", c.Name, k)
		}
	}
	for _, f := range c.Files {
		if _, err := c.FilePath(f); err != nil {
			return err
		}
	}
	for _, p := range slices.Concat(c.Creates, c.Outputs, c.Removes, c.Discards) {
		if err := absPath(p); err != nil {
			return err
		}
	}
	for _, p := range c.Owns {
		if err := deepPath(p); err != nil {
			return err
		}
	}
	for _, p := range c.StaticPods {
		if err := match(commandName, "static pod", p); err != nil {
			return err
		}
	}
	if c.Watch != nil {
		if err := c.Watch.validate(); err != nil {
			return fmt.Errorf("command %s: %w", c.Name, err)
		}
	}
	return c.validateCovers()
}

func (w *Watch) validate() error {
	for _, u := range w.Units {
		if err := match(unitName, "unit name", u.Name); err != nil {
			return err
		}
		if u.Once != "" {
			if err := absPath(u.Once); err != nil {
				return err
			}
		}
	}
	for _, p := range w.StaticPods {
		if err := match(commandName, "static pod", p); err != nil {
			return err
		}
	}
	for _, p := range w.Restores {
		if err := absPath(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) validateArgv(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("command %s has an empty argv", c.Name)
	}
	if err := absPath(argv[0]); err != nil {
		return fmt.Errorf("command %s: the program must be an absolute path: %w", c.Name, err)
	}
	for _, a := range argv {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("command %s has a zero byte in an argument", c.Name)
		}
	}
	return nil
}

func (c *Command) validateCovers() error {
	seen := map[string]bool{c.Name: true}
	for _, cover := range c.Covers {
		if err := match(commandName, "name of a covered command", cover.Name); err != nil {
			return err
		}
		if seen[cover.Name] || cover.Key == "" {
			return fmt.Errorf("command %s covers %s, which has no key or is named twice", c.Name, cover.Name)
		}
		seen[cover.Name] = true
		for _, p := range cover.Outputs {
			if err := absPath(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate checks what the backup program is asked to do.
func (b *Backup) Validate() error {
	if err := firstErr(absPath(b.Path()), match(operation, "name of a backup", b.Name), match(ageRecipient, "age recipient", b.Recipient)); err != nil {
		return err
	}
	if b.Keep < 0 {
		return fmt.Errorf("backup %s: cannot keep %d backups", b.Name, b.Keep)
	}
	if b.Dir != "" && b.Dir != DefaultBackupDir && (strings.HasPrefix(b.Dir+"/", stateDir+"/") || strings.Count(b.Dir, "/") < 2) {
		return fmt.Errorf("backups cannot lie in %s: use %s, or a directory of their own elsewhere", b.Dir, DefaultBackupDir)
	}
	return nil
}

// stateDir is where the helper keeps its own records.
const stateDir = "/var/lib/kubewright"

func (p *ImagePins) validate() error {
	for _, name := range p.Keep {
		if err := match(imageName, "image name", name); err != nil {
			return err
		}
	}
	return nil
}

// RunDir is the directory in which the input files of command name lie while it runs.
func RunDir(name string) string { return "/run/kubewright/" + name }

// FilePath is the absolute path of an input file, which must lie below the command's RunDir.
func (c *Command) FilePath(f CommandFile) (string, error) {
	p := f.Path
	dir := RunDir(c.Name)
	if !strings.HasPrefix(p, "/") {
		p = dir + "/" + p
	}
	if path.Clean(p) != p || !strings.HasPrefix(p, dir+"/") {
		return "", fmt.Errorf("command %s: file %q must lie below %s", c.Name, f.Path, dir)
	}
	return p, nil
}

func (p *Probe) validate() error {
	set := 0
	for _, target := range []string{p.Path, p.Name, p.TCP, p.URL} {
		if target != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a probe needs exactly one of path, name, tcp and url")
	case p.PathType != "" && (p.Path == "" || p.PathType != ProbeFile && p.PathType != ProbeDirectory):
		return fmt.Errorf("a probe of a path may expect %s or %s, not %q", ProbeFile, ProbeDirectory, p.PathType)
	case p.Path != "":
		return absPath(p.Path)
	case p.Name != "":
		return nil
	case p.TCP != "":
		if _, _, err := net.SplitHostPort(p.TCP); err != nil {
			return fmt.Errorf("probe address: %w", err)
		}
		return nil
	}
	u, err := url.Parse(p.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return fmt.Errorf("probe URL %q must be plain http or https", p.URL)
	}
	if p.CAFile != "" {
		return absPath(p.CAFile)
	}
	return nil
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func match(re *regexp.Regexp, what, s string) error {
	if !re.MatchString(s) {
		return fmt.Errorf("%s %q is not allowed", what, s)
	}
	return nil
}

func modeBits(m uint32) error {
	if m > 0o777 {
		return fmt.Errorf("mode %#o has bits beyond 0777", m)
	}
	return nil
}

func absPath(p string) error {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) {
		return fmt.Errorf("path %q must be absolute and clean", p)
	}
	return nil
}

// scratchPattern allows a star in the last element only, behind some name, and keeps away from the top of the file system.
func scratchPattern(p string) error {
	if err := deepPath(p); err != nil {
		return err
	}
	if strings.ContainsAny(path.Dir(p), "*?[\\") {
		return fmt.Errorf("pattern %q may hold wildcards in its last element only", p)
	}
	if name := path.Base(p); strings.IndexAny(name, "*?[\\") == 0 {
		return fmt.Errorf("pattern %q must begin its last element with a name", p)
	}
	if _, err := path.Match(p, ""); err != nil {
		return fmt.Errorf("pattern %q: %w", p, err)
	}
	return nil
}

// deepPath also keeps what is removed recursively away from the top of the file system: /etc, /var/lib ... are refused.
func deepPath(p string) error {
	if err := absPath(p); err != nil {
		return err
	}
	if strings.Count(p, "/") < 2 {
		return fmt.Errorf("path %q is too high up to be removed", p)
	}
	switch p {
	case "/var/lib", "/var/log", "/usr/local", "/usr/bin", "/usr/lib", "/usr/sbin", "/etc/systemd", "/etc/ssh":
		return fmt.Errorf("path %q belongs to the operating system and cannot be removed", p)
	}
	return nil
}

// Validate checks that only absolute paths are asked for, and not many of them.
func (r *FactsRequest) Validate() error {
	if len(r.Directories) > 16 {
		return &InvalidError{Message: fmt.Sprintf("%d directories in one request for facts, at most 16 are allowed", len(r.Directories))}
	}
	for _, d := range r.Directories {
		if err := absPath(d); err != nil {
			return &InvalidError{Message: err.Error()}
		}
	}
	return nil
}
