package verified

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Cache remembers verifications in small files, one for each bundle and place, so that writers of different ones do not meet. What it
// says is believed, so only its owner may be able to write there. Removing it, or a file of it, is always safe and only costs time.
type Cache struct{ dir string }

// In returns the cache in a directory, which is made when something is to be remembered. Empty means to remember nothing.
func In(dir string) Cache { return Cache{dir: dir} }

// ForUser returns the cache in the user's cache directory; one that remembers nothing when the user has none.
func ForUser() Cache {
	base, err := os.UserCacheDir()
	if err != nil {
		return Cache{}
	}
	return In(filepath.Join(base, "kubewright", "verified"))
}

// record says that files were verified.
type record struct {
	Identity   identity  `json:"identity"`
	VerifiedAt time.Time `json:"verifiedAt"`
	Blobs      int       `json:"blobs"`
	Bytes      int64     `json:"bytes"`
}

// load returns what is remembered of exactly these files; false when that is nothing. A record that cannot be read, or that somebody else
// may have written, counts as none.
func (c Cache) load(id identity) (record, bool) {
	r, ok := c.read(id)
	return r, ok && r.Identity.equal(id)
}

// Renamed remembers a verification on, after its file was renamed by whoever had it verified: the system counts that as a change. Nothing is
// remembered of files that differ in more than that.
func (c Cache) Renamed(b *bundle.Bundle) error {
	id, err := identityOf(b)
	if err != nil {
		return err
	}
	r, ok := c.read(id)
	if !ok || !r.Identity.unchanged().equal(id.unchanged()) {
		return nil
	}
	r.Identity = id
	return c.save(r)
}

// read returns what is remembered of files at their place, whatever became of them since.
func (c Cache) read(id identity) (record, bool) {
	if c.dir == "" {
		return record{}, false
	}
	f, err := os.Open(c.path(id))
	if err != nil {
		return record{}, false
	}
	defer f.Close() //nolint:errcheck // read only
	if !isOurs(c.dir, f) {
		return record{}, false
	}
	var r record
	if json.NewDecoder(f).Decode(&r) != nil {
		return record{}, false
	}
	return r, true
}

// isOurs says whether only this user could have written a record. The group may: volumes of Kubernetes are handed to pods by way of it.
func isOurs(dir string, f *os.File) bool {
	of, err := f.Stat()
	if err != nil {
		return false
	}
	in, err := os.Stat(dir)
	if err != nil {
		return false
	}
	const othersWrite = 0o002
	stat, ok := of.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && of.Mode().IsRegular() && (of.Mode()|in.Mode())&othersWrite == 0
}

// save remembers a verification. The file appears whole or not at all.
func (c Cache) save(r record) (err error) {
	if c.dir == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("remember that a bundle was verified: %w", err)
		}
	}()
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, ".verified-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path(r.Identity))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// drop forgets what is remembered of files.
func (c Cache) drop(id identity) error {
	if c.dir == "" {
		return nil
	}
	if err := os.Remove(c.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget that a bundle was verified: %w", err)
	}
	return nil
}

// path is the same for files that were written into since, so that records do not pile up.
func (c Cache) path(id identity) string {
	places := sha256.New()
	for _, f := range id.Files {
		fmt.Fprintf(places, "%d %d\n", f.Device, f.Inode) //nolint:errcheck // a hash takes everything
	}
	return filepath.Join(c.dir, "sha256-"+id.Digest.Encoded()+"-"+hex.EncodeToString(places.Sum(nil)[:8])+".json")
}
