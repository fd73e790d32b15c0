package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	// AssetsVariable names the environment variable with a directory that holds etcd and kube-apiserver.
	AssetsVariable = "KUBEWRIGHT_ASSETS"
	// BundleVariable names the environment variable with the bundle the programs are taken out of.
	BundleVariable = "KUBEWRIGHT_BUNDLE"

	etcdProgram      = "etcd"
	apiServerProgram = "kube-apiserver"
	// imageBinDir is where the bundle's images keep their program.
	imageBinDir = "usr/local/bin"
)

// ErrNoAssets says that no etcd and kube-apiserver were found to test against.
var ErrNoAssets = errors.New("no etcd and kube-apiserver to test against")

// Assets returns a directory with etcd and kube-apiserver: the one KUBEWRIGHT_ASSETS names, or else one in the user's cache
// directory, filled from the bundle that KUBEWRIGHT_BUNDLE names (without it, from where `make bundle` puts it). It returns
// ErrNoAssets (wrapped, with what to do) when there is neither.
func Assets(ctx context.Context) (string, error) {
	if dir := os.Getenv(AssetsVariable); dir != "" {
		return dir, checkAssets(dir)
	}
	path, cache, err := bundlePath()
	if err != nil {
		return "", err
	}
	return extract(ctx, path, filepath.Join(cache, "testenv"))
}

// bundlePath finds the bundle to test with, and the project's directory in the user's cache.
func bundlePath() (path, cache string, err error) {
	cache, err = os.UserCacheDir()
	if err != nil {
		return "", "", fmt.Errorf("%w: find the user's cache directory: %w; set HOME, or set %s", ErrNoAssets, err, AssetsVariable)
	}
	cache = filepath.Join(cache, "kubewright")
	path = os.Getenv(BundleVariable)
	if path == "" {
		path = filepath.Join(cache, "bundles", "kubernetes-1.36.bundle")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("%w: there is no bundle %s; build it with `make bundle`, or set %s to a bundle or %s to a directory with both programs",
			ErrNoAssets, path, BundleVariable, AssetsVariable)
	}
	return path, cache, nil
}

func checkAssets(dir string) error {
	for _, program := range []string{etcdProgram, apiServerProgram} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("%w: %s=%s: %w; put both programs there, or unset %s and build a bundle with `make bundle`",
				ErrNoAssets, AssetsVariable, dir, err, AssetsVariable)
		}
	}
	return nil
}

// open opens a bundle and takes its first release. Close the bundle.
func open(path string) (*bundle.Bundle, *bundle.Release, error) {
	b, err := bundle.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the bundle to test with (build it anew with `make bundle`): %w", err)
	}
	releases := b.Config().Releases
	if len(releases) == 0 {
		return nil, nil, errors.Join(fmt.Errorf("bundle %s holds no Kubernetes release; build it anew with `make bundle`", path), b.Close())
	}
	return b, &releases[0], nil
}

// extract fills a directory of its own for each bundle digest, so that tests of two bundles do not disturb each other.
func extract(ctx context.Context, path, parent string) (string, error) {
	b, release, err := open(path)
	if err != nil {
		return "", err
	}
	defer b.Close() //nolint:errcheck // read only
	dir := filepath.Join(parent, b.Digest().Encoded())
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs that everybody may run
		return "", fmt.Errorf("make a directory for the programs to test with: %w", err)
	}
	for _, program := range []string{etcdProgram, apiServerProgram} {
		image, err := release.Image(program)
		if err != nil {
			return "", fmt.Errorf("find image %s in bundle %s: %w", program, path, err)
		}
		err = b.ExtractFromImage(ctx, image, "linux/"+runtime.GOARCH, imageBinDir+"/"+program, filepath.Join(dir, program))
		if err != nil {
			return "", fmt.Errorf("take %s out of bundle %s: %w", program, path, err)
		}
	}
	return dir, nil
}
