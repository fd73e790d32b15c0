// Package ledger records what we own on a host and what was there before, so that a reset removes exactly that. An
// entry is on the disk before the change it is about. The package must not know how a change is made or undone.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Type says what an entry is about.
type Type string

// The types of entries.
const (
	// TypeFile is a file or link we made or replaced.
	TypeFile Type = "file"
	// TypeDir is a directory we made; it is removed when empty.
	TypeDir Type = "dir"
	// TypeTree is a path that was missing or empty when we took it over; everything below it is ours.
	TypeTree Type = "tree"
	// TypeSysctl is a kernel parameter we changed.
	TypeSysctl Type = "sysctl"
	// TypeUnit is a systemd unit whose state we changed.
	TypeUnit Type = "unit"
	// TypeModule is a kernel module we loaded.
	TypeModule Type = "module"
	// TypeRun is a detached command.
	TypeRun Type = "run"
	// TypeImage is a container image we pulled.
	TypeImage Type = "image"
	// TypeBackups is a directory with backups of etcd. Reset leaves them and says so.
	TypeBackups Type = "backups"
)

// Entry is one thing we own or changed.
type Entry struct {
	Type Type `json:"type"`
	// Name is a path, a sysctl key, a unit, a command or an image.
	Name string `json:"name"`
	// Created says that nothing was there before.
	Created bool `json:"created,omitempty"`
	// Previous is what was there: a sysctl's value, a link's target, a unit's "enabled active".
	Previous string `json:"previous,omitempty"`
	// Backup is the name, below the ledger's backup directory, of the previous content of a file.
	Backup string `json:"backup,omitempty"`
	// Mode is the previous mode of a file that has a Backup, or of a directory that was there.
	Mode uint32 `json:"mode,omitempty"`
	// At is where the path led when it was recorded, links resolved, where that is another path; of a file, only its directory's.
	At string `json:"at,omitempty"`
	// Mount is the mount point that held it then; "" in entries of earlier versions, which know neither.
	Mount string `json:"mount,omitempty"`
}

// Path reports whether Name is a path that we made, replaced or took over.
func (e Entry) Path() bool { return e.Type == TypeFile || e.Type == TypeDir || e.Type == TypeTree }

// Place finds where the path of an entry leads now, as At and Mount tell where it led.
func (e Entry) Place(s *sys.System, m *sys.Mounts) (at, mount string, err error) {
	if e.Type == TypeFile {
		if at, err = s.Resolve(path.Dir(e.Name)); err == nil {
			at = path.Join(at, path.Base(e.Name))
		}
	} else {
		at, err = s.Resolve(e.Name)
	}
	over, _ := m.Over(at)
	return at, over.At, err
}

type document struct {
	Version int       `json:"version"`
	Owner   api.Owner `json:"owner"`
	Entries []Entry   `json:"entries"`
}

// Ledger is the ledger of one host, kept in memory and written through.
type Ledger struct {
	sys  *sys.System
	path string

	mu    sync.Mutex
	doc   document
	index map[string]int
}

// backupDir, below the state directory, holds what files were before us.
const backupDir = "backups"

// version is the form of the file; a newer one is refused rather than misread.
const version = 1

// Open reads the ledger of a host; a host without one has an empty ledger.
func Open(s *sys.System) (*Ledger, error) {
	l := &Ledger{sys: s, path: s.State("ledger.json"), doc: document{Version: version}}
	data, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the ledger: %w", err)
	default:
		if err := json.Unmarshal(data, &l.doc); err != nil {
			return nil, fmt.Errorf("the ledger %s cannot be read (%w): put it in order by hand before anything else is changed on this host", l.path, err)
		}
		if l.doc.Version > version {
			return nil, fmt.Errorf("the ledger %s has version %d, this helper knows up to %d: use a newer program", l.path, l.doc.Version, version)
		}
	}
	l.reindex()
	return l, nil
}

func (l *Ledger) reindex() {
	l.index = make(map[string]int, len(l.doc.Entries))
	for i, e := range l.doc.Entries {
		l.index[key(e.Type, e.Name)] = i
	}
}

func key(t Type, name string) string { return string(t) + "\x00" + name }

// Owner is the cluster that claimed the host, nil when none did.
func (l *Ledger) Owner() *api.Owner {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doc.Owner.ClusterUID == "" {
		return nil
	}
	o := l.doc.Owner
	return &o
}

// Claim makes owner the owner of the host, on the disk, before anything is changed. A host of another cluster answers
// *api.OwnedByOtherError.
func (l *Ledger) Claim(owner api.Owner) error {
	if owner.ClusterUID == "" {
		return &api.InvalidError{Message: "a change needs an owner (cluster name and UID)"}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doc.Owner.ClusterUID == owner.ClusterUID {
		return nil
	}
	if l.doc.Owner.ClusterUID != "" {
		return &api.OwnedByOtherError{Owner: l.doc.Owner}
	}
	l.doc.Owner = owner
	if err := l.save(); err != nil {
		l.doc.Owner = api.Owner{}
		return err
	}
	return nil
}

// Record writes entries before the change they are about. What was recorded first stays: it knows the state before us.
func (l *Ledger) Record(entries ...Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.doc.Entries)
	entries = slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool {
		_, ok := l.index[key(e.Type, e.Name)]
		return ok
	})
	if err := l.place(entries); err != nil {
		return err
	}
	for _, e := range entries {
		k := key(e.Type, e.Name)
		if _, ok := l.index[k]; ok {
			continue
		}
		l.index[k] = len(l.doc.Entries)
		l.doc.Entries = append(l.doc.Entries, e)
	}
	if len(l.doc.Entries) == before {
		return nil
	}
	if err := l.save(); err != nil {
		l.doc.Entries = l.doc.Entries[:before]
		l.reindex()
		return err
	}
	return nil
}

// place notes where the paths of new entries lead, so that a reset can tell links and mounts that come later.
func (l *Ledger) place(entries []Entry) error {
	if !slices.ContainsFunc(entries, Entry.Path) {
		return nil
	}
	mounts, err := l.sys.Mounts()
	if err != nil {
		return err
	}
	for i, e := range entries {
		if !e.Path() {
			continue
		}
		at, mount, err := e.Place(l.sys, mounts)
		if err != nil {
			return err
		}
		if entries[i].Mount = mount; at != e.Name {
			entries[i].At = at
		}
	}
	return nil
}

// Has says that an entry is recorded.
func (l *Ledger) Has(t Type, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.index[key(t, name)]
	return ok
}

// Find returns the entry of a type and name, false when there is none.
func (l *Ledger) Find(t Type, name string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.index[key(t, name)]
	if !ok {
		return Entry{}, false
	}
	return l.doc.Entries[i], true
}

// MadeDir says that path is a directory which we made.
func (l *Ledger) MadeDir(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created(TypeDir, path)
}

// Made says that path is a file or directory that was not there before us.
func (l *Ledger) Made(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created(TypeDir, path) || l.created(TypeFile, path) || l.created(TypeTree, path)
}

func (l *Ledger) created(t Type, name string) bool {
	i, ok := l.index[key(t, name)]
	return ok && l.doc.Entries[i].Created
}

// Entries returns a copy, in the order of recording.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.doc.Entries)
}

// OwnedPaths lists the paths we made, replaced or took over.
func (l *Ledger) OwnedPaths() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var paths []string
	for _, e := range l.doc.Entries {
		switch e.Type {
		case TypeFile, TypeDir, TypeTree:
			paths = append(paths, e.Name)
		}
	}
	return paths
}

// Owns says that path is recorded, or lies below a tree that is.
func (l *Ledger) Owns(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.doc.Entries {
		switch e.Type {
		case TypeFile, TypeDir:
			if e.Name == path {
				return true
			}
		case TypeTree:
			if e.Name == path || strings.HasPrefix(path, e.Name+"/") {
				return true
			}
		}
	}
	return false
}

// Forget drops entries whose change was undone.
func (l *Ledger) Forget(entries []Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := make(map[string]bool, len(entries))
	for _, e := range entries {
		gone[key(e.Type, e.Name)] = true
	}
	l.doc.Entries = slices.DeleteFunc(l.doc.Entries, func(e Entry) bool { return gone[key(e.Type, e.Name)] })
	l.reindex()
	return l.save()
}

// Delete removes the ledger and its backups: the host belongs to nobody.
func (l *Ledger) Delete() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sys.RemoveTree(path.Join(sys.StateDir, backupDir)); err != nil {
		return fmt.Errorf("delete the ledger's backups: %w", err)
	}
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the ledger: %w", err)
	}
	l.doc = document{Version: version}
	l.reindex()
	return nil
}

func (l *Ledger) save() error {
	data, err := json.MarshalIndent(l.doc, "", " ")
	if err != nil {
		return fmt.Errorf("encode the ledger: %w", err)
	}
	if err := sys.WriteFileSync(l.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("record in the ledger before changing the host: %w", err)
	}
	return nil
}
