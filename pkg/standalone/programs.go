package standalone

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	etcdProgram      = "etcd"
	apiServerProgram = "kube-apiserver"
	// imageBinDir is where images of a bundle keep their program.
	imageBinDir = "usr/local/bin"
)

// Programs are the two programs of an embedded control plane.
type Programs struct {
	// Etcd and APIServer are paths.
	Etcd      string `json:"etcd"`
	APIServer string `json:"apiServer"`
	// Version of Kubernetes the API server has.
	Version string `json:"version"`
	// EtcdDigest and APIServerDigest are the SHA-256 of the programs, as sha256:<hex>, found out when they were taken out of a bundle; both are
	// empty when they came from elsewhere. What has another digest is not run.
	EtcdDigest      string `json:"etcdDigest,omitempty"`
	APIServerDigest string `json:"apiServerDigest,omitempty"`
	// Bundle is the path of the bundle they were taken from, Digest its digest; both are empty when they came from elsewhere.
	Bundle string `json:"bundle,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// ProgramsFrom takes the programs out of a bundle's newest release, or uses those taken out before if they are still what the bundle holds. The
// content is checked against its digest while it is taken out.
func (d *Dir) ProgramsFrom(ctx context.Context, b *bundle.Bundle) (Programs, error) {
	releases := b.Config().Releases
	if len(releases) == 0 {
		return Programs{}, fmt.Errorf("bundle %s holds no Kubernetes release; build it anew", b.Path())
	}
	release := &releases[len(releases)-1]
	dir := filepath.Join(d.path, "programs", b.Digest().Encoded())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Programs{}, fmt.Errorf("make a directory for the embedded programs: %w", err)
	}
	for _, program := range []string{etcdProgram, apiServerProgram} {
		to := filepath.Join(dir, program)
		image, err := release.Image(program)
		if err != nil {
			return Programs{}, fmt.Errorf("find the image of %s: %w", program, err)
		}
		if err := b.ExtractFromImage(ctx, image, "linux/"+runtime.GOARCH, imageBinDir+"/"+program, to); err != nil {
			return Programs{}, fmt.Errorf("take %s out of the bundle: %w", program, err)
		}
	}
	path, err := filepath.Abs(b.Path())
	if err != nil {
		return Programs{}, fmt.Errorf("find bundle %s: %w", b.Path(), err)
	}
	p := Programs{
		Etcd:      filepath.Join(dir, etcdProgram),
		APIServer: filepath.Join(dir, apiServerProgram),
		Version:   release.KubernetesVersion,
		Bundle:    path,
		Digest:    b.Digest().String(),
	}
	if p.EtcdDigest, err = digestOf(p.Etcd); err != nil {
		return Programs{}, err
	}
	if p.APIServerDigest, err = digestOf(p.APIServer); err != nil {
		return Programs{}, err
	}
	return p, nil
}

// ProgramChangedError says that a program is not the one any more that was taken out of the bundle.
type ProgramChangedError struct {
	// Path of the program.
	Path string
	// Want is the digest it had, Got the one it has.
	Want, Got string
}

func (e *ProgramChangedError) Error() string {
	return fmt.Sprintf("the program %s has digest %s and not %s, as when it was taken out of the bundle, so it is not run: find out who changed it, "+
		"then run `kubewright up` with --bundle to take it out again", e.Path, e.Got, e.Want)
}

// verify hashes the programs before they are run. Those of a record that has no digests, of an earlier release, are taken as they are: who may
// write to the directory was judged when it was opened.
func (p Programs) verify() error {
	for path, want := range map[string]string{p.Etcd: p.EtcdDigest, p.APIServer: p.APIServerDigest} {
		if want == "" {
			continue
		}
		got, err := digestOf(path)
		if err != nil {
			return err
		}
		if got != want {
			return &ProgramChangedError{Path: path, Want: want, Got: got}
		}
	}
	return nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash an embedded program: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	d, err := digest.SHA256.FromReader(f)
	if err != nil {
		return "", fmt.Errorf("hash an embedded program: %w", err)
	}
	return d.String(), nil
}

// dropOtherPrograms removes those of other bundles: each set takes well over a hundred megabytes, and can be taken out again. The
// directory must be locked.
func (d *Dir) dropOtherPrograms(used Programs) error {
	parent := filepath.Join(d.path, "programs")
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("look for programs of other bundles: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(parent, entry.Name())
		if path == filepath.Dir(used.Etcd) || path == filepath.Dir(used.APIServer) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove programs of another bundle: %w", err)
		}
	}
	return nil
}

// record notes the programs as the ones to start the next time no bundle is given. The directory must be locked.
func (d *Dir) record(p Programs) error {
	content, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("record the embedded programs: %w", err)
	}
	return WriteFile(d.recordPath(), content)
}

// RecordedPrograms are the ones started the last time. It returns ErrNoState (wrapped) when there was no last time.
func (d *Dir) RecordedPrograms() (Programs, error) {
	content, err := os.ReadFile(d.recordPath())
	if err != nil {
		return Programs{}, fmt.Errorf("%w in %s: run `kubewright up` first, or name the directory it used with --state-dir", ErrNoState, d.path)
	}
	var p Programs
	if err := json.Unmarshal(content, &p); err != nil {
		return Programs{}, fmt.Errorf("read %s: %w; run `kubewright up` again to write it anew", d.recordPath(), err)
	}
	return p, nil
}
