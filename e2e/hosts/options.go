package hosts

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// HardPassword is the default password of the user "pw": it holds every character that breaks naive quoting.
const HardPassword = `it's a "hard" $PASS\word` //nolint:gosec // it opens nothing but the throw-away hosts of tests

// Sudo says how a user may become root.
type Sudo string

const (
	// SudoNone is a user who cannot become root.
	SudoNone Sudo = ""
	// SudoNoPassword is a user who becomes root without being asked.
	SudoNoPassword Sudo = "nopassword"
	// SudoPassword is a user whom sudo asks for their own password.
	SudoPassword Sudo = "password"
)

// User is an account on every host of a fleet. The user root needs no entry: it always accepts the fleet's key.
type User struct {
	// Name of the account: lower-case letters, digits, - and _.
	Name string `json:"name"`
	// Key says whether the fleet's client key may log in.
	Key bool `json:"key"`
	// Password for login and sudo; empty locks password login. Any characters except a line break.
	Password string `json:"password,omitempty"`
	// Sudo is how the user becomes root.
	Sudo Sudo `json:"sudo,omitempty"`
}

// DefaultUsers are the accounts of a fleet that names none: "ops" (key, sudo without password) and "pw" (HardPassword for
// login and sudo, no key).
func DefaultUsers() []User {
	return []User{
		{Name: "ops", Key: true, Sudo: SudoNoPassword},
		{Name: "pw", Password: HardPassword, Sudo: SudoPassword},
	}
}

// Options describe a fleet. The zero value of every field but Name has a default.
type Options struct {
	// Name of the fleet: lower-case letters, digits and -, at most 30. Fleets of different names can live side by side.
	Name string
	// Count of hosts, named n1 to nCount. Default 1.
	Count int
	// Suite is the distribution release of the hosts. Default: bookworm on Debian, this machine's own on Ubuntu.
	Suite string
	// Subnet of the fleet's network, at least a /25. Default: a free /24 is chosen.
	Subnet netip.Prefix
	// Users on every host besides root. Default: DefaultUsers.
	Users []User
	// StateDir holds the client key, known_hosts and the fleet's description. Default: a directory named after the fleet
	// in the user cache directory. It is removed by Down.
	StateDir string
	// CacheDir holds the root file system the image is made from. Default: in the user cache directory.
	CacheDir string
	// Engine says how to get a container engine when none answers.
	Engine EngineOptions
	// Log receives one line per thing worth knowing. Default: nobody.
	Log func(format string, args ...any)
}

// HostSpec describes one host to add to a fleet.
type HostSpec struct {
	// Name of the host, and its hostname: lower-case letters, digits and -.
	Name string
	// Tmpfs mounts memory of a given size ("64m") at a path, e.g. to make a host whose disk is too small. A path that
	// would have been a volume is replaced.
	Tmpfs map[string]string
	// NoVolumes keeps the state directories on the container's own overlay file system.
	NoVolumes bool
	// Memory limits the host, as docker writes it ("512m"). Empty means no limit.
	Memory string
}

var (
	fleetName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)
	hostName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	userName  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)
	suiteName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

// maxHosts keeps half of a /24 free for virtual addresses and hosts added later.
const maxHosts = 100

func (o Options) withDefaults() (Options, error) {
	if !fleetName.MatchString(o.Name) {
		return o, fmt.Errorf("fleet name %q: want 1 to 30 lower-case letters, digits and -", o.Name)
	}
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Count < 0 || o.Count > maxHosts {
		return o, fmt.Errorf("fleet %s: %d hosts: want 1 to %d", o.Name, o.Count, maxHosts)
	}
	if o.Subnet.IsValid() && (!o.Subnet.Addr().Is4() || o.Subnet.Bits() > 25) {
		return o, fmt.Errorf("fleet %s: subnet %s: want IPv4, /25 or larger", o.Name, o.Subnet)
	}
	if o.Suite != "" && !suiteName.MatchString(o.Suite) {
		return o, fmt.Errorf("fleet %s: suite %q: want a release name such as bookworm", o.Name, o.Suite)
	}
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	for _, u := range o.Users {
		if err := u.validate(); err != nil {
			return o, fmt.Errorf("fleet %s: %w", o.Name, err)
		}
	}
	if o.StateDir == "" || o.CacheDir == "" {
		base, err := baseDir()
		if err != nil {
			return o, err
		}
		if o.StateDir == "" {
			o.StateDir = filepath.Join(base, "fleets", o.Name)
		}
		if o.CacheDir == "" {
			o.CacheDir = filepath.Join(base, "rootfs")
		}
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	return o, nil
}

func (u User) validate() error {
	switch {
	case u.Name == "root":
		return fmt.Errorf("user root: exists on every host and must not be listed")
	case !userName.MatchString(u.Name):
		return fmt.Errorf("user %q: want lower-case letters, digits, - and _", u.Name)
	case strings.ContainsAny(u.Password, "\n\r\x00"):
		return fmt.Errorf("user %s: the password holds a line break", u.Name)
	case u.Sudo != SudoNone && u.Sudo != SudoNoPassword && u.Sudo != SudoPassword:
		return fmt.Errorf("user %s: unknown sudo mode %q", u.Name, u.Sudo)
	}
	return nil
}

// baseDir is where everything of this package lives unless the caller says otherwise.
func baseDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user cache directory (set HOME or XDG_CACHE_HOME): %w", err)
	}
	return filepath.Join(cache, "kubewright", "e2e-hosts"), nil
}
