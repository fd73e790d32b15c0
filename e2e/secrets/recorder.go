//go:build e2e

package secrets

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubewright/kubewright/e2e/hosts"
)

// recordings is where hosts keep what they received over SSH, a directory for each phase of a test.
const recordings = "/var/lib/e2e-recordings"

// recorder is what sshd starts instead of the command that a client asks for. It keeps that command, and every byte that it is sent, and
// starts the command. Nothing is kept while no phase is named.
const recorder = `#!/bin/bash
dir=$(cat ` + recordings + `/phase 2>/dev/null)
if [ -z "$dir" ]; then exec /bin/bash -c "$SSH_ORIGINAL_COMMAND"; fi
umask 077
file=$(mktemp "$dir/XXXXXXXX")
printf '%s\n' "$SSH_ORIGINAL_COMMAND" >"$file.command"
exec /bin/bash -c "$SSH_ORIGINAL_COMMAND" < <(exec tee "$file" 2>/dev/null)
`

// installRecorder has the sshd of all hosts record.
func installRecorder(ctx context.Context, fleet *hosts.Fleet) error {
	const program = "/usr/local/lib/e2e-recorder"
	for _, host := range fleet.Hosts() {
		if err := fleet.WriteFile(ctx, host.Name, program, 0o755, []byte(recorder)); err != nil {
			return err
		}
		if err := fleet.WriteFile(ctx, host.Name, "/etc/ssh/sshd_config.d/00-recorder.conf", 0o644, []byte("ForceCommand "+program+"\n")); err != nil {
			return err
		}
		if _, err := fleet.Exec(ctx, host.Name, "systemctl", "reload", "ssh.service"); err != nil {
			return err
		}
	}
	return nil
}

// record begins a phase; without a name nothing is recorded.
func record(ctx context.Context, fleet *hosts.Fleet, phase string) error {
	script := "mkdir -p " + recordings + " && : >" + recordings + "/phase"
	if phase != "" {
		dir := recordings + "/" + phase
		script = "install -d -m 1777 " + dir + " && echo " + dir + " >" + recordings + "/phase"
	}
	for _, host := range fleet.Hosts() {
		if _, err := fleet.ExecInput(ctx, host.Name, strings.NewReader(script), "sh"); err != nil {
			return err
		}
	}
	return nil
}

// received calls visit with all that a host was sent in a phase, piece by piece.
func received(ctx context.Context, fleet *hosts.Fleet, host, phase string, visit func(name string, content []byte) error) error {
	root, err := fleet.Root(ctx, host)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root+recordings+"/"+phase, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read what %s received: %w", host, err)
		}
		return visit(filepath.Base(path), content)
	})
}
