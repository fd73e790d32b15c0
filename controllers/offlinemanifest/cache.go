package offlinemanifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// identity is by what a file is known again without reading it, and the digest it was verified against.
type identity struct {
	Path     string        `json:"path"`
	Digest   digest.Digest `json:"digest"`
	Size     int64         `json:"size"`
	Device   uint64        `json:"device"`
	Inode    uint64        `json:"inode"`
	Modified int64         `json:"modifiedUnixNano"`
	// Trust is the fingerprint of the keys that signatures were judged by; empty when they did not matter.
	Trust string `json:"trust,omitempty"`
}

// record says that a file was verified.
type record struct {
	Identity   identity  `json:"identity"`
	VerifiedAt time.Time `json:"verifiedAt"`

	// Signature is the good one; Unsigned says what is wrong where that is only warned of. Both are found out anew each time, which takes
	// milliseconds, and not remembered.
	Signature *signature `json:"-"`
	Unsigned  string     `json:"-"`
}

// signature says who signed a bundle.
type signature struct {
	KeyName, KeyID string
	SignedAt       time.Time
}

// cache remembers verifications in small files, one per digest, so that writers of different bundles do not meet.
type cache struct{ dir string }

// load returns when a file was verified; false when it was not, or when nothing is remembered. A damaged cache only costs time.
func (c cache) load(id identity) (record, bool) {
	if c.dir == "" {
		return record{}, false
	}
	content, err := os.ReadFile(c.path(id))
	if err != nil {
		return record{}, false
	}
	var r record
	if json.Unmarshal(content, &r) != nil || r.Identity != id {
		return record{}, false
	}
	return r, true
}

// save remembers a verification. The file appears whole or not at all.
func (c cache) save(r record) (err error) {
	if c.dir == "" {
		return nil
	}
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("remember that %s was verified: %w", r.Identity.Path, err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("remember that %s was verified: %w", r.Identity.Path, err)
	}
	f, err := os.CreateTemp(c.dir, ".verified-*")
	if err != nil {
		return fmt.Errorf("remember that %s was verified: %w", r.Identity.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("remember that %s was verified: %w", r.Identity.Path, err), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path(r.Identity))
}

func (c cache) path(id identity) string {
	return filepath.Join(c.dir, "verified-"+strings.ReplaceAll(id.Digest.String(), ":", "-")+".json")
}
