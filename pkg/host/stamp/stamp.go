// Package stamp remembers the digest of big files together with what the file system says of them, so that a check need
// not read hundreds of megabytes again. It is a cache: losing it costs time only. It must not know what the files are.
package stamp

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// stamp is what must be unchanged for the digest to be believed. Boot is in it because content is written without
// waiting for the disk: after a power cut a file can have the right size and time and yet not its bytes.
type stamp struct {
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"`
	Ctime int64  `json:"ctime"`
	Inode uint64 `json:"inode"`
	Dev   uint64 `json:"dev"`
	Boot  string `json:"boot"`
}

type record struct {
	Stamp  stamp  `json:"stamp"`
	Digest string `json:"digest"`
}

// Cache is the stamps of one host. Paths are those of the host, without the root.
type Cache struct {
	sys  *sys.System
	boot string

	mu      sync.Mutex
	records map[string]record
	dirty   bool
}

// Open reads the cache; a missing or damaged one is empty.
func Open(s *sys.System) *Cache {
	boot, _ := os.ReadFile(s.Path("/proc/sys/kernel/random/boot_id"))
	c := &Cache{sys: s, boot: strings.TrimSpace(string(boot)), records: map[string]record{}}
	if data, err := os.ReadFile(s.State("stamps.json")); err == nil {
		if json.Unmarshal(data, &c.records) != nil || c.records == nil {
			c.records = map[string]record{}
		}
	}
	return c
}

func (c *Cache) stat(path string) (stamp, error) {
	fi, err := os.Lstat(c.sys.Path(path))
	if err != nil {
		return stamp{}, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is not a regular file", path)
	}
	return stamp{Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Inode: st.Ino, Dev: uint64(st.Dev), Boot: c.boot}, nil //nolint:unconvert // the field's type differs between systems
}

// Known returns the digest of path when it is stamped and unchanged since.
func (c *Cache) Known(path string) (digest string, ok bool) {
	now, err := c.stat(path)
	if err != nil {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.records[path]
	if !ok || r.Stamp != now {
		return "", false
	}
	return r.Digest, true
}

// Find returns a path that is stamped with the digest and unchanged since.
func (c *Cache) Find(digest string) (path string, ok bool) {
	c.mu.Lock()
	var candidates []string
	for p, r := range c.records {
		if r.Digest == digest {
			candidates = append(candidates, p)
		}
	}
	c.mu.Unlock()
	for _, p := range candidates {
		if d, ok := c.Known(p); ok && d == digest {
			return p, true
		}
	}
	return "", false
}

// Set stamps path with a digest that the caller has just computed from its bytes.
func (c *Cache) Set(path, digest string) error {
	now, err := c.stat(path)
	if err != nil {
		return fmt.Errorf("stamp %s: %w", path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records[path] = record{Stamp: now, Digest: digest}
	c.dirty = true
	return nil
}

// Drop forgets a path.
func (c *Cache) Drop(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.records[path]; ok {
		delete(c.records, path)
		c.dirty = true
	}
}

// Digest returns the digest of path, from the stamp or else by reading it (and then stamps it).
func (c *Cache) Digest(path string) (string, error) {
	if d, ok := c.Known(path); ok {
		return d, nil
	}
	before, err := c.stat(path)
	if err != nil {
		return "", err
	}
	d, err := sys.FileDigest(c.sys.Path(path))
	if err != nil {
		return "", err
	}
	if after, err := c.stat(path); err == nil && after == before {
		c.mu.Lock()
		c.records[path] = record{Stamp: after, Digest: d}
		c.dirty = true
		c.mu.Unlock()
	}
	return d, nil
}

// Save writes the cache if it changed. A host that has no state directory yet is left untouched.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty || !sys.Exists(c.sys.State()) {
		return nil
	}
	data, err := json.Marshal(c.records)
	if err != nil {
		return fmt.Errorf("encode stamps: %w", err)
	}
	if err := sys.WriteFile(c.sys.State("stamps.json"), data, 0o600); err != nil {
		return err
	}
	c.dirty = false
	return nil
}

// Clear forgets everything, in memory only.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records, c.dirty = map[string]record{}, false
}
