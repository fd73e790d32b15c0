package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// An etcd that is killed within its first moments, after it made its log and before it committed itself as the only member, never
// elects a leader again, however often it is started (seen with 3.6.8 by killing it some 50 ms after its start). Nothing was in it
// then. So a mark is put beside the data once the API server was ready on it, and data without that mark is dropped.

// dropUnfinishedEtcd removes data that no API server was ever ready on.
func (d *Dir) dropUnfinishedEtcd() error {
	_, err := os.Stat(d.etcdKeepPath())
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look whether etcd's data is to be kept: %w", err)
	}
	if err := os.RemoveAll(d.etcdDataPath()); err != nil {
		return fmt.Errorf("remove the data of an etcd that never became ready: %w", err)
	}
	return nil
}

// keepEtcd puts the mark, unless it is there. It must come before anything that matters is written to the API server.
func (d *Dir) keepEtcd() error {
	if _, err := os.Stat(d.etcdKeepPath()); err == nil {
		return nil
	}
	return WriteFile(d.etcdKeepPath(), []byte("The data beside this file holds state that must not be lost.\n"))
}
