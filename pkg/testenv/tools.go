package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Tool returns the command that runs a tool of the bundle, such as haproxy, with its own loader and libraries as on a host. They are put
// into dir. It returns ErrNoAssets (wrapped) when there is no bundle.
func Tool(ctx context.Context, dir, name string, args ...string) (*exec.Cmd, error) {
	path, _, err := bundlePath()
	if err != nil {
		return nil, err
	}
	b, release, err := open(path)
	if err != nil {
		return nil, err
	}
	defer b.Close() //nolint:errcheck // read only
	for _, f := range release.Files {
		if f.Kind != bundle.FileTool || f.Platform != "linux/"+runtime.GOARCH {
			continue
		}
		if err := place(b, f, dir); err != nil {
			return nil, fmt.Errorf("take %s out of bundle %s: %w", f.Name, path, err)
		}
	}
	return exec.CommandContext(ctx, filepath.Join(dir, "ld.so"), append([]string{"--library-path", dir, filepath.Join(dir, name)}, args...)...), nil //nolint:gosec // a tool of the bundle
}

// maxTool bounds a program that is read into memory.
const maxTool = 256 << 20

func place(b *bundle.Bundle, f bundle.File, dir string) error {
	content, err := b.ReadBlob(f.Digest, maxTool)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, f.Name), content, os.FileMode(f.Mode))
}
