package api

import (
	"slices"
	"strconv"
	"strings"
)

// Kind names the kind of a resource, for messages and dispatch.
type Kind string

// The kinds of resources.
const (
	KindFile      Kind = "File"
	KindDir       Kind = "Dir"
	KindSymlink   Kind = "Symlink"
	KindAbsent    Kind = "Absent"
	KindBlob      Kind = "Blob"
	KindModule    Kind = "Module"
	KindSysctl    Kind = "Sysctl"
	KindUnit      Kind = "Unit"
	KindImage     Kind = "Image"
	KindImagePins Kind = "ImagePins"
	KindCommand   Kind = "Command"
	KindBackup    Kind = "Backup"
	KindProbe     Kind = "Probe"
)

// Resource is one thing a host should have. Exactly one of the pointers is set.
type Resource struct {
	// ID names the resource within its request, for verdicts, progress and errors.
	ID string `json:"id"`

	File      *File      `json:"file,omitempty"`
	Dir       *Dir       `json:"dir,omitempty"`
	Symlink   *Symlink   `json:"symlink,omitempty"`
	Absent    *Absent    `json:"absent,omitempty"`
	Blob      *Blob      `json:"blob,omitempty"`
	Module    *Module    `json:"module,omitempty"`
	Sysctl    *Sysctl    `json:"sysctl,omitempty"`
	Unit      *Unit      `json:"unit,omitempty"`
	Image     *Image     `json:"image,omitempty"`
	ImagePins *ImagePins `json:"imagePins,omitempty"`
	Command   *Command   `json:"command,omitempty"`
	Backup    *Backup    `json:"backup,omitempty"`
	Probe     *Probe     `json:"probe,omitempty"`
}

// File is a regular file owned by root, with content given inline or by the digest of a blob.
type File struct {
	Path string `json:"path"`
	// Mode is the permission bits; 0 means 0644.
	Mode uint32 `json:"mode,omitempty"`
	// Content is the whole file when Blob is empty.
	Content []byte `json:"content,omitempty"`
	// Blob ("sha256:<hex>") and Size name content that a Blob resource put into staging before.
	Blob string `json:"blob,omitempty"`
	Size int64  `json:"size,omitempty"`
	// Secret keeps the content out of verdicts and journals, and out of requests that only look.
	Secret bool `json:"secret,omitempty"`
	// Seal stands for the content of a secret file in a request that only looks; see Look. A sealed file can be compared and not written.
	Seal *Seal `json:"seal,omitempty"`
	// Keep leaves a file that is there already as it is, whatever it holds: for content that something else takes over once it exists.
	Keep bool `json:"keep,omitempty"`
}

// Dir is a directory owned by root.
type Dir struct {
	Path string `json:"path"`
	// Mode is the permission bits; 0 means 0755 when we make the directory, and otherwise whatever it has.
	Mode uint32 `json:"mode,omitempty"`
	// Purge makes Reset remove everything below it too, when the directory was missing or empty as we took it over.
	Purge bool `json:"purge,omitempty"`
}

// Symlink is a symbolic link.
type Symlink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	// Keep leaves a link that is there already as it is, wherever it leads.
	Keep bool `json:"keep,omitempty"`
}

// Absent says that nothing is at Path. A directory is removed with what is below it.
type Absent struct {
	Path string `json:"path"`
}

// Blob is content that the host holds somewhere: staged, as a file placed from it, or in containerd's content store.
type Blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// AltFiles are paths which, when they still hold this digest, make staging it needless.
	AltFiles []string `json:"altFiles,omitempty"`
}

// Module is a kernel module that is loaded or built in.
type Module struct {
	Name string `json:"name"`
}

// Sysctl is a kernel parameter, "net.ipv4.ip_forward" style.
type Sysctl struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// AtLeast takes Value for a number that a higher one is as good as.
	AtLeast bool `json:"atLeast,omitempty"`
}

// SatisfiedBy says that a value is as good as the wanted one. How its words are separated does not matter.
func (s *Sysctl) SatisfiedBy(value string) bool {
	have, want := strings.Fields(value), strings.Fields(s.Value)
	if !s.AtLeast {
		return slices.Equal(have, want)
	}
	number, err := strconv.ParseUint(strings.Join(have, " "), 10, 64)
	least, wrong := strconv.ParseUint(s.Value, 10, 64)
	return err == nil && wrong == nil && number >= least
}

// Unit is the state of a systemd unit whose unit file is already there.
type Unit struct {
	// Name has its suffix: "kubelet.service".
	Name    string `json:"name"`
	Enabled bool   `json:"enabled,omitempty"`
	Active  bool   `json:"active,omitempty"`
	// LeaveRunning neither starts nor stops the unit: something else does. Active says nothing then.
	LeaveRunning bool `json:"leaveRunning,omitempty"`
	// Inputs is a digest over everything the unit was configured from. A running unit started with other Inputs is
	// restarted.
	Inputs string `json:"inputs,omitempty"`
	// Adopt takes a running unit of which no Inputs are recorded yet for one that was started with Inputs: Apply only writes
	// that down. For units that something else starts (kubeadm starts kubelet).
	Adopt bool `json:"adopt,omitempty"`
	// Reload makes a running unit with other Inputs reload its configuration instead of restarting, when the unit can.
	Reload bool `json:"reload,omitempty"`
	// TimeoutSeconds bounds the wait until active; 0 means 60.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Descriptor names a blob by digest and size.
type Descriptor struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// MediaType is what the mirror answers for manifests.
	MediaType string `json:"mediaType,omitempty"`
}

// Image is a container image in containerd's k8s.io namespace, pulled from blobs the host already holds.
type Image struct {
	// Name is the full reference pods will use, "registry.k8s.io/pause:3.10.2".
	Name string `json:"name"`
	// Manifest is what Name resolves to.
	Manifest Descriptor `json:"manifest"`
	// Blobs are the further blobs it needs: per-platform manifest, config, layers.
	Blobs []Descriptor `json:"blobs"`
	// Pin labels the image so that kubelet's garbage collection leaves it alone.
	Pin bool `json:"pin,omitempty"`
}

// ImagePins says which of the images that we pulled and pinned stay pinned. The others lose the label, and kubelet's
// garbage collection takes them when it needs room. Images of anybody else are left as they are.
type ImagePins struct {
	// Keep are full references, as in Image.Name. The pause image that containerd is configured with must be among them:
	// containerd pins it anew by itself.
	Keep []string `json:"keep"`
}

// DefaultBackupDir is where a Backup lies whose Dir is empty.
const DefaultBackupDir = "/var/lib/kubewright/etcd-backups"

// Backup is a snapshot of etcd, taken on a control plane and verified, in one file with what is needed to bring the
// cluster back: the certificates and keys below /etc/kubernetes/pki and the API server's encryption configuration. The
// file is encrypted with age to Recipient before it gets its name; a reset leaves it where it is.
type Backup struct {
	// Dir holds the backups; "" means DefaultBackupDir. It must not lie in a directory that a reset empties.
	Dir string `json:"dir,omitempty"`
	// Name matches [A-Za-z0-9][A-Za-z0-9._-]*; the file is <Dir>/<Name>.tar.age.
	Name string `json:"name"`
	// Recipient is an age X25519 public key ("age1...").
	Recipient string `json:"recipient"`
	// Keep is how many backups of this cluster stay in Dir, this one included; the oldest go first. 0 keeps all.
	Keep int `json:"keep,omitempty"`
	// TimeoutSeconds bounds the run; 0 means 600.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Path is the file the backup ends up in.
func (b *Backup) Path() string {
	dir := b.Dir
	if dir == "" {
		dir = DefaultBackupDir
	}
	return dir + "/" + b.Name + ".tar.age"
}

// Command is a program that runs detached, in its own transient unit, at most once per Key.
type Command struct {
	// Name is stable over attempts and matches [a-z0-9][a-z0-9-]*; the unit is kubewright-<name>.service.
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	// Env holds further environment variables, never secrets.
	Env map[string]string `json:"env,omitempty"`
	// Files are put below /run/kubewright/<name>/ (0600) before the start, and removed by the wrapper at the end.
	Files []CommandFile `json:"files,omitempty"`
	// Creates are paths which must exist for the command to count as done. Those that did not exist before it ran
	// belong to the ledger afterwards.
	Creates []string `json:"creates,omitempty"`
	// Owns are further paths (with everything below) that the command makes; Reset removes those that were missing
	// or empty before it first ran.
	Owns []string `json:"owns,omitempty"`
	// Key is a digest over what the run depends on. A receipt with another Key does not count.
	Key string `json:"key"`
	// Inputs are digests of the single things that Key is over, by a name for people; they say what is other than in the receipt.
	Inputs map[string]string `json:"inputs,omitempty"`
	// Outputs are files whose digest the receipt keeps. When one has another content later, or is gone, the command counts
	// as needed again; so one that must never run twice (kubeadm init) has none, and covers a command that has.
	Outputs []string `json:"outputs,omitempty"`
	// Covers are later commands that this one does as well: when it succeeds, their receipts are left behind, too.
	Covers []Cover `json:"covers,omitempty"`
	// Removes are files deleted right before the program starts, as when it would keep what it should make anew. When it
	// fails they are put back.
	Removes []string `json:"removes,omitempty"`
	// Begun says how to go on when an attempt that was cut off, by a loss of power say, got as far as making a certain file.
	Begun *Begun `json:"begun,omitempty"`
	// Narrower are command lines that do less than Argv; the first that fits is taken.
	Narrower []Narrower `json:"narrower,omitempty"`
	// Scratch are patterns (path.Match, in the last element only) of directories that the program leaves and that must not stay. They are
	// removed when it has ended, however it did; and where some lie without its having run, applying the command removes just those.
	Scratch []string `json:"scratch,omitempty"`
	// Discards are files that the program needs only while it runs: they are removed when it has ended well.
	Discards []string `json:"discards,omitempty"`
	// StaticPods are those in kube-system, without the node's name, that the command waits for. When it fails, what they said last goes
	// into the error, and what kubelet says where there is no such pod. A command that was done before waits, before it starts, until those
	// whose manifests are there run: one that kubelet holds back from starting again would make it wait in vain.
	StaticPods []string `json:"staticPods,omitempty"`
	// Watch says what ends the command at once when it ends again and again meanwhile.
	Watch *Watch `json:"watch,omitempty"`
	// TimeoutSeconds bounds the run; 0 means 600.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Watch is what a command waits for that may never come: each ended three times, by itself, means that it would wait in vain.
type Watch struct {
	// Units are systemd units that start again by themselves.
	Units []WatchedUnit `json:"units,omitempty"`
	// StaticPods are named as in Command, each before those that need it.
	StaticPods []string `json:"staticPods,omitempty"`
	// Restores are files that are put back as they were before the start when the command was stopped for one of these.
	Restores []string `json:"restores,omitempty"`
}

// WatchedUnit is one unit of a Watch.
type WatchedUnit struct {
	// Name has its suffix: "kubelet.service".
	Name string `json:"name"`
	// Once is a file without which the unit is expected to end; "" when it never is.
	Once string `json:"once,omitempty"`
}

// Begun is the other way to run a command, for when part of it must not be done again.
type Begun struct {
	// Path is the file whose being there means that part was done.
	Path string `json:"path"`
	// Argv replaces the command's; the same rules hold for it.
	Argv []string `json:"argv"`
}

// Narrower is a way to run a command that leaves part of its work out, for when that part is known to be as it should: the command was
// done before, and by its receipt what the part depends on and what it made are as they were then.
type Narrower struct {
	// Inputs are names among those of the command whose digests must be the same in the receipt.
	Inputs []string `json:"inputs"`
	// Outputs are files among those of the command that must be unchanged since.
	Outputs []string `json:"outputs,omitempty"`
	// Argv replaces the command's; the same rules hold for it.
	Argv []string `json:"argv"`
}

// Cover is a command that another command does as well.
type Cover struct {
	// Name and Key are those the command would have if it ran by itself.
	Name string `json:"name"`
	Key  string `json:"key"`
	// Inputs and Outputs are as in Command.
	Inputs  map[string]string `json:"inputs,omitempty"`
	Outputs []string          `json:"outputs,omitempty"`
}

// CommandFile is an input of a Command.
type CommandFile struct {
	// Path is relative to, or absolute below, /run/kubewright/<name>/.
	Path    string `json:"path"`
	Content []byte `json:"content"`
	// Secret makes the wrapper mask the content wherever it shows up in output.
	Secret bool `json:"secret,omitempty"`
}

// ProbePathType is what a Probe expects at a path.
type ProbePathType string

// What may be expected at a path.
const (
	// ProbeFile is anything but a directory.
	ProbeFile ProbePathType = "File"
	// ProbeDirectory is a directory.
	ProbeDirectory ProbePathType = "Directory"
)

// Probe is something that should answer, or be there. It is only ever checked; exactly one of TCP, URL and Path is set.
type Probe struct {
	// Path is a file or directory that something else makes.
	Path string `json:"path,omitempty"`
	// PathType says what has to be at Path; "" takes anything.
	PathType ProbePathType `json:"pathType,omitempty"`
	// Name is a DNS name that the host must be able to resolve.
	Name string `json:"name,omitempty"`
	// TCP is host:port.
	TCP string `json:"tcp,omitempty"`
	// URL is http or https.
	URL string `json:"url,omitempty"`
	// CAFile is a PEM file on the host which the server's certificate must chain to.
	CAFile string `json:"caFile,omitempty"`
	// ExpectStatus is the HTTP status; 0 means 200.
	ExpectStatus int `json:"expectStatus,omitempty"`
	// TimeoutSeconds is how long Apply keeps trying until it answers; 0 means one try of at most 5 s. Check tries once.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Kind returns the kind of the one pointer that is set, or "" when there is none.
func (r Resource) Kind() Kind {
	for _, c := range r.set() {
		return c
	}
	return ""
}

func (r Resource) set() []Kind {
	var kinds []Kind
	add := func(present bool, k Kind) {
		if present {
			kinds = append(kinds, k)
		}
	}
	add(r.File != nil, KindFile)
	add(r.Dir != nil, KindDir)
	add(r.Symlink != nil, KindSymlink)
	add(r.Absent != nil, KindAbsent)
	add(r.Blob != nil, KindBlob)
	add(r.Module != nil, KindModule)
	add(r.Sysctl != nil, KindSysctl)
	add(r.Unit != nil, KindUnit)
	add(r.Image != nil, KindImage)
	add(r.ImagePins != nil, KindImagePins)
	add(r.Command != nil, KindCommand)
	add(r.Backup != nil, KindBackup)
	add(r.Probe != nil, KindProbe)
	return kinds
}
