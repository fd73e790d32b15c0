package builder

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// errorLines is how much of a failed command's output an error carries: the end, where compilers sum up.
const errorLines = 25

// interruptGrace is how long a command may take to stop its own children after it was interrupted.
const interruptGrace = 10 * time.Second

// run runs a command made with a context and returns its standard output; the error carries the end of its standard error.
// When the context ends, the command is interrupted, so that the go command takes its compilers with it.
func run(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args[:min(2, len(cmd.Args))], " "), err, tail(stderr.String(), errorLines))
	}
	return stdout.Bytes(), nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// shortHash turns the base64 of a go.sum hash into 40 hex digits, the form of a git commit.
func shortHash(sum string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil || len(raw) < 20 {
		return "", fmt.Errorf("%q is not a go.sum hash", sum)
	}
	return hex.EncodeToString(raw[:20]), nil
}
