package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/backup"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// takeBackup is run as a detached command. Nothing in its arguments is secret: the recipient is a public key.
func takeBackup(machine *sys.System, args []string, out io.Writer) (int, error) {
	b := &api.Backup{}
	flags := flag.NewFlagSet("backup", flag.ContinueOnError)
	flags.StringVar(&b.Dir, "dir", "", "directory of the backups (default "+api.DefaultBackupDir+")")
	flags.StringVar(&b.Name, "name", "", "name of the backup, without .tar.age")
	flags.StringVar(&b.Recipient, "recipient", "", "age X25519 public key to encrypt for")
	flags.IntVar(&b.Keep, "keep", 0, "how many backups of this cluster to keep; 0 keeps all")
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	owned, err := ledger.Open(machine)
	if err != nil {
		return 1, err
	}
	owner := owned.Owner()
	if owner == nil {
		return 1, errors.New("this host belongs to no cluster: there is nothing to back up")
	}
	// The wrapper keeps what is said; that it cannot is its own to report.
	say := func(line string) { _, _ = fmt.Fprintln(out, line) }
	err = (&backup.Taker{Sys: machine, Owner: *owner, Free: backup.FreeSpace, Say: say}).Take(ctx, b)
	if _, full := errors.AsType[*backup.SpaceError](err); full {
		return backup.ExitNoSpace, err
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
