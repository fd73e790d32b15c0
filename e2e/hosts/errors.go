package hosts

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoEngine says that no container engine answers and that this program may not or cannot start one.
var ErrNoEngine = errors.New("no container engine")

// ErrNoFleet says that there is no fleet of the name asked for, or only pieces of one.
var ErrNoFleet = errors.New("no such fleet")

// ErrNoHost says that a fleet has no host of the name asked for.
var ErrNoHost = errors.New("no such host")

// CommandError is a program that ran and failed, with what it had to say about it.
type CommandError struct {
	// Args is the program and its arguments. They never hold secrets: those travel over standard input.
	Args []string
	// ExitCode is what the program returned, or -1 when a signal ended it.
	ExitCode int
	// Stdout and Stderr are what it wrote.
	Stdout, Stderr string
}

// Error names the command, its exit code and the end of its error output.
func (e *CommandError) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = strings.TrimSpace(e.Stdout)
	}
	return fmt.Sprintf("%s: exit code %d: %s", strings.Join(e.Args, " "), e.ExitCode, tail(text, 2000))
}

// tail keeps the last n bytes of text, from the start of a line where it can.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	text = text[len(text)-n:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return "... " + text
}
