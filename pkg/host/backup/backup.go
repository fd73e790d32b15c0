// Package backup takes a backup of a cluster on one of its control planes: a verified snapshot of etcd with the
// certificates, keys and encryption configuration that belong to it, encrypted before it gets its name. It must not know
// who asks for it, nor when.
//
// Plaintext lies only in workDir, which every run empties before and after; the file that is being encrypted has a
// temporary name until all of it is on the disk. So a run that was killed at any moment leaves no half backup, and its
// plaintext goes with the next run, the next session that changes the host, or a reset.
package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// RunName is the name of the detached command that takes a backup: one at a time.
	RunName = "etcd-backup"
	// workDir, in the state directory, holds plaintext while a backup is taken.
	workDir = "etcd-backup.tmp"
)

// Taker takes backups on one host.
type Taker struct {
	Sys *sys.System
	// Owner is the cluster the host belongs to.
	Owner api.Owner
	// Free says how many bytes are free at a path, and which file system that is. FreeSpace on a real machine.
	Free func(path string) (bytes int64, device uint64, err error)
	// Say is told each step, in one line.
	Say func(line string)
}

// Take makes the backup b and prunes older ones of the same cluster. Errors: *SpaceError when there is or was too little room, and
// *TakenError when somebody else's file has the name.
func (t *Taker) Take(ctx context.Context, b *api.Backup) (err error) {
	if err := b.Validate(); err != nil {
		return err
	}
	if err := t.free(b); err != nil {
		return err
	}
	if err := Clean(t.Sys); err != nil {
		return err
	}
	defer func() { err = errors.Join(asSpace(err, sys.StateDir+" or "+filepath.Dir(b.Path())), Clean(t.Sys)) }()
	if err := os.MkdirAll(t.Sys.State(workDir), 0o700); err != nil {
		return fmt.Errorf("make room for the snapshot: %w", err)
	}
	etcd := etcdctl{sys: t.Sys}
	before, err := etcd.status(ctx)
	if err != nil {
		return err
	}
	if err := t.room(b, before.DBSize); err != nil {
		return err
	}
	snapshot := t.Sys.State(workDir, "snapshot.db")
	if err := etcd.save(ctx, snapshot); err != nil {
		return err
	}
	contents, err := etcd.verify(ctx, snapshot, before.Header.Revision)
	if err != nil {
		return err
	}
	t.Say(fmt.Sprintf("the snapshot holds %d keys at revision %d, etcd %s", contents.TotalKey, contents.Revision, before.Version))
	m := t.manifest(before, contents)
	r, err := t.write(b, m)
	if err != nil {
		return err
	}
	t.Say(fmt.Sprintf("wrote %s, %d bytes, %s", b.Path(), r.Size, r.Digest))
	return t.prune(b)
}

// free refuses a name that a file has which this cluster did not make here: backups of the cluster before are not ours to replace.
func (t *Taker) free(b *api.Backup) error {
	r, err := ReadReceipt(t.Sys, b)
	if err != nil {
		return err
	}
	if r == nil && sys.Exists(t.Sys.Path(b.Path())) {
		return &TakenError{Path: b.Path()}
	}
	return nil
}

// Clean removes what a run that was killed left: plaintext first of all.
func Clean(s *sys.System) error {
	if err := s.RemoveTree(filepath.Join(sys.StateDir, workDir)); err != nil {
		return fmt.Errorf("remove the plaintext of a backup: %w", err)
	}
	return nil
}

func (t *Taker) now() time.Time { return t.Sys.Now().UTC() }
