//go:build e2e

package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

// readJournals notes all that hosts' journals hold.
func readJournals(ctx context.Context, h *hunt, fleet *hosts.Fleet) error {
	for _, host := range fleet.Hosts() {
		text, err := fleet.Exec(ctx, host.Name, "journalctl", "--no-pager", "--all", "--output=export")
		if err != nil {
			return err
		}
		h.add(journals, "journal of "+host.Name, text)
	}
	return nil
}

// passedOver are parts of a host that are not its files, or show files that are seen elsewhere too: of containers the layers are read, where
// they write what they write.
var passedOver = regexp.MustCompile(`^/(proc|sys|dev|run/netns)$|^` + recordings + `$|^/run/containerd/.*/rootfs$`)

// walk calls visit with each regular file of a host, under the path it has there.
func walk(ctx context.Context, fleet *hosts.Fleet, host string, visit func(path string, file *os.File) error) error {
	root, err := fleet.Root(ctx, host)
	if err != nil {
		return err
	}
	// With a slash behind it, since the root itself is a link.
	return filepath.WalkDir(root+"/", func(full string, entry fs.DirEntry, err error) error {
		path := "/" + strings.TrimPrefix(strings.TrimPrefix(full, root), "/")
		if gone(err) || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if entry.IsDir() && passedOver.MatchString(path) {
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		file, err := os.Open(full)
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		return visit(path, file)
	})
}

// gone says that something is not there any more: hosts live while they are looked at.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// searchFiles notes what each file of all hosts holds, except for those secrets that are meant to be in it.
func searchFiles(ctx context.Context, h *hunt, fleet *hosts.Fleet, finder *planted.Finder, meant func(host, path, secret string) bool) error {
	for _, host := range fleet.Hosts() {
		err := walk(ctx, fleet, host.Name, func(path string, file *os.File) error {
			found, err := finder.InStream(file)
			if err != nil && !gone(err) {
				return fmt.Errorf("read %s of %s: %w", path, host.Name, err)
			}
			var wrong []string
			for _, secret := range found {
				if !meant(host.Name, path, secret) {
					wrong = append(wrong, secret)
				}
			}
			h.note(files, "file "+path+" of "+host.Name, wrong)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keysOfHosts takes the private keys that hosts hold where Kubernetes wants them: on workers that is kubelet's own alone.
func keysOfHosts(ctx context.Context, fleet *hosts.Fleet, controlPlanes map[string]bool, into *known) error {
	for _, host := range fleet.Hosts() {
		root, err := fleet.Root(ctx, host.Name)
		if err != nil {
			return err
		}
		dirs := []string{"/var/lib/kubelet/pki"}
		if controlPlanes[host.Name] {
			dirs = append(dirs, "/etc/kubernetes")
		}
		for _, dir := range dirs {
			err := filepath.WalkDir(root+dir, func(full string, entry fs.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return err
				}
				content, err := os.ReadFile(full)
				if err != nil {
					return err
				}
				path := strings.TrimPrefix(full, root)
				return into.take(path+" of "+host.Name, content, file{host.Name, path})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
