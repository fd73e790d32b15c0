package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	etcdctlProgram = "/usr/local/bin/etcdctl"
	etcdutlProgram = "/usr/local/bin/etcdutl"
	etcdPKI        = "/etc/kubernetes/pki/etcd"
	// etcdEndpoint is the member on this host: a snapshot of another one would not say anything about it.
	etcdEndpoint = "https://127.0.0.1:2379"
	// etcd reads and writes its database in pages, so its size is a multiple of this; a snapshot has its sha256 behind it.
	pageUnit = 512
)

// etcdctl runs etcd's own programs against the member on this host.
type etcdctl struct{ sys *sys.System }

// memberStatus is what the member says of itself ("etcdctl endpoint status -w json").
type memberStatus struct {
	Header struct {
		ClusterID uint64 `json:"cluster_id"`
		MemberID  uint64 `json:"member_id"`
		Revision  int64  `json:"revision"`
	} `json:"header"`
	Version string `json:"version"`
	DBSize  int64  `json:"dbSize"`
}

// snapshotStatus is what "etcdutl snapshot status -w json" says of a file, after it has walked through all of it.
type snapshotStatus struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"revision"`
	TotalKey  int    `json:"totalKey"`
	TotalSize int64  `json:"totalSize"`
	Version   string `json:"version"`
}

func (e etcdctl) connection() []string {
	client := "healthcheck-client"
	if !sys.Exists(e.sys.Path(etcdPKI, client+".crt")) {
		client = "server"
	}
	return []string{
		"--endpoints=" + etcdEndpoint, "--cacert=" + e.sys.Path(etcdPKI, "ca.crt"),
		"--cert=" + e.sys.Path(etcdPKI, client+".crt"), "--key=" + e.sys.Path(etcdPKI, client+".key"),
	}
}

func (e etcdctl) run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := e.sys.Runner.Run(ctx, append([]string{e.sys.Path(program)}, args...)...)
	if err != nil {
		return "", err
	}
	if out.ExitCode != 0 {
		return "", fmt.Errorf("%s %s: exit code %d: %s", program, strings.Join(args[len(args)-2:], " "), out.ExitCode, strings.Join(out.LastLines(3), "; "))
	}
	return out.Stdout, nil
}

func (e etcdctl) status(ctx context.Context) (*memberStatus, error) {
	out, err := e.run(ctx, etcdctlProgram, append(e.connection(), "--write-out=json", "endpoint", "status")...)
	if err != nil {
		return nil, fmt.Errorf("ask the etcd member on this host: %w", err)
	}
	var all []struct {
		Status memberStatus `json:"Status"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		return nil, fmt.Errorf("ask the etcd member on this host: cannot read its answer (%w)", err)
	}
	return &all[0].Status, nil
}

func (e etcdctl) save(ctx context.Context, path string) error {
	// It gets its own bound from the wrapper of the command, so etcdctl needs none.
	if _, err := e.run(ctx, etcdctlProgram, append(e.connection(), "snapshot", "save", path)...); err != nil {
		return fmt.Errorf("take a snapshot of etcd: %w", err)
	}
	return nil
}

// verify walks through a snapshot: its sum, the integrity of the database, and that it is not older than what the member
// had before. Errors: *DamagedError.
func (e etcdctl) verify(ctx context.Context, path string, since int64) (*snapshotStatus, error) {
	if err := verifySum(path); err != nil {
		return nil, err
	}
	out, err := e.run(ctx, etcdutlProgram, "--write-out=json", "snapshot", "status", path)
	if err != nil {
		return nil, &DamagedError{Why: err.Error()}
	}
	var s snapshotStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return nil, &DamagedError{Why: "cannot read what etcdutl says of it: " + err.Error()}
	}
	switch {
	case s.TotalKey <= 0:
		return nil, &DamagedError{Why: "it holds no keys"}
	case s.Hash == 0:
		return nil, &DamagedError{Why: "it has no hash"}
	case s.Revision < since:
		return nil, &DamagedError{Why: fmt.Sprintf("it is of revision %d, but etcd was at %d before", s.Revision, since)}
	}
	return &s, nil
}

// verifySum compares the sha256 that etcd sends behind the database, and that a restore insists on, with the bytes that came.
func verifySum(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	if fi.Size()%pageUnit != sha256.Size {
		return &DamagedError{Why: fmt.Sprintf("it has %d bytes, which is no database with its sum: it was cut off", fi.Size())}
	}
	h := sha256.New()
	if _, err := io.CopyN(h, f, fi.Size()-sha256.Size); err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	sum, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	if !bytes.Equal(sum, h.Sum(nil)) {
		return &DamagedError{Why: "its sum does not fit its bytes"}
	}
	return nil
}
