package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	pkiDir         = "/etc/kubernetes/pki"
	manifestsDir   = "/etc/kubernetes/manifests"
	apiserverFile  = manifestsDir + "/kube-apiserver.yaml"
	encryptionFlag = "--encryption-provider-config="
)

// The first and the last file in the archive; the others have their paths on the host.
const (
	ManifestName = "backup.json"
	SnapshotName = "snapshot.db"
)

// Manifest is the first file in the archive: what the backup is of, and what is in it.
type Manifest struct {
	Cluster api.Owner `json:"cluster"`
	// Host is the control plane's hostname; Taken is its clock.
	Host  string    `json:"host"`
	Taken time.Time `json:"taken"`
	// EtcdClusterID and MemberID are in hex, as etcd prints them.
	EtcdClusterID string `json:"etcdClusterID"`
	MemberID      string `json:"memberID"`
	EtcdVersion   string `json:"etcdVersion"`
	// Revision, Keys and Hash are what the snapshot holds, by etcdutl.
	Revision int64  `json:"revision"`
	Keys     int    `json:"keys"`
	Hash     uint32 `json:"hash"`
	// Images are those of the static pods, so that a restore knows the versions.
	Images []string `json:"images"`
	// Files are the other files of the archive with their digests.
	Files map[string]string `json:"files"`
}

func (t *Taker) manifest(member *memberStatus, s *snapshotStatus) *Manifest {
	host, _ := os.ReadFile(t.Sys.Path("/proc/sys/kernel/hostname"))
	return &Manifest{
		Cluster: t.Owner, Host: strings.TrimSpace(string(host)), Taken: t.now(),
		EtcdClusterID: fmt.Sprintf("%x", member.Header.ClusterID), MemberID: fmt.Sprintf("%x", member.Header.MemberID),
		EtcdVersion: member.Version, Revision: s.Revision, Keys: s.TotalKey, Hash: s.Hash, Images: t.images(),
	}
}

// images reads the images of the static pods; manifests that are not there are not missed.
func (t *Taker) images() []string {
	var images []string
	files, err := filepath.Glob(t.Sys.Path(manifestsDir, "*.yaml"))
	if err != nil {
		return nil
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if image, ok := strings.CutPrefix(strings.TrimSpace(line), "image: "); ok {
				images = append(images, image)
			}
		}
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// member is one file of the archive.
type member struct {
	// name in the archive, path on this machine.
	name, path string
}

// members lists everything but the manifest. The keys come from the host as they are; what etcd holds may be encrypted with the
// API server's encryption configuration, so a snapshot without that file would be lost.
func (t *Taker) members() ([]member, error) {
	var all []member
	root := t.Sys.Path(pkiDir)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		all = append(all, t.member(strings.TrimPrefix(p, t.Sys.Path("/"))))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the certificates and keys: %w", err)
	}
	text, err := os.ReadFile(t.Sys.Path(apiserverFile))
	if err != nil && !sys.Missing(err) {
		return nil, fmt.Errorf("look for an encryption configuration: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if _, p, ok := strings.Cut(strings.TrimSpace(line), encryptionFlag); ok {
			all = append(all, t.member(strings.Trim(p, `"'`)))
		}
	}
	return append(all, member{name: SnapshotName, path: t.Sys.State(workDir, SnapshotName)}), nil
}

// member is a file of the host under its own path.
func (t *Taker) member(p string) member {
	p = strings.TrimPrefix(p, "/")
	return member{name: p, path: t.Sys.Path(p)}
}

// write encrypts the archive into a temporary file, and gives it its name when all of it is on the disk. The receipt is written
// before: a file with the name always has one, so that it is never taken for somebody else's.
func (t *Taker) write(b *api.Backup, m *Manifest) (r *Receipt, err error) {
	recipient, err := age.ParseX25519Recipient(b.Recipient)
	if err != nil {
		return nil, fmt.Errorf("the recipient of backups: %w", err)
	}
	all, err := t.members()
	if err != nil {
		return nil, err
	}
	m.Files = make(map[string]string, len(all))
	for _, one := range all {
		if m.Files[one.name], err = sys.FileDigest(one.path); err != nil {
			return nil, fmt.Errorf("read what belongs into the backup: %w", err)
		}
	}
	path := t.Sys.Path(b.Path())
	leftovers, err := filepath.Glob(filepath.Join(filepath.Dir(path), sys.TempPrefix+"*.tmp"))
	if err != nil {
		return nil, fmt.Errorf("look for what a killed run left: %w", err)
	}
	for _, l := range leftovers {
		if err := os.Remove(l); err != nil {
			return nil, fmt.Errorf("remove what a killed run left: %w", err)
		}
	}
	tmp, err := sys.TempFile(path, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	counted := &counter{w: tmp, hash: sha256.New()}
	sealed, err := age.Encrypt(counted, recipient)
	if err == nil {
		err = archive(sealed, m, all)
	}
	if err == nil {
		err = errors.Join(sealed.Close(), tmp.Sync(), tmp.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", b.Path(), err)
	}
	r = &Receipt{Path: b.Path(), Size: counted.n, Digest: "sha256:" + hex.EncodeToString(counted.hash.Sum(nil)), Recipient: b.Recipient, Taken: m.Taken, Revision: m.Revision}
	if err := r.save(t.Sys, b); err != nil {
		return nil, err
	}
	if err := sys.RenameSync(tmp.Name(), path); err != nil {
		return nil, fmt.Errorf("write %s: %w", b.Path(), err)
	}
	return r, nil
}

// archive writes the tar. Every member is hashed again while it is written: what changed since it was listed would make the
// manifest wrong.
func archive(w io.Writer, m *Manifest, all []member) error {
	tw := tar.NewWriter(w)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	text = append(text, '\n')
	if err := tw.WriteHeader(&tar.Header{Name: ManifestName, Mode: 0o600, Size: int64(len(text)), ModTime: m.Taken, Format: tar.FormatPAX}); err != nil {
		return err
	}
	if _, err := tw.Write(text); err != nil {
		return err
	}
	for _, one := range all {
		if err := add(tw, one, m); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return tw.Close()
}

func add(tw *tar.Writer, one member, m *Manifest) error {
	f, err := os.Open(one.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: one.name, Mode: 0o600, Size: fi.Size(), ModTime: m.Taken, Format: tar.FormatPAX}); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(tw, h), f); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != m.Files[one.name] {
		return errors.New("it changed while the backup was taken: take it again")
	}
	return nil
}

// counter hashes and counts what goes to the file.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	_, _ = c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}
