package sshtest

import (
	"bufio"
	"fmt"
	"strings"
)

// Sudo imitates sudo, its flags, its dialogue over standard input and error, and its words, in front of another Handler.
// Commands that do not begin with "env LC_ALL=C sudo" reach that Handler as they are; others reach it without sudo and
// its flags.
type Sudo struct {
	// Password is what it wants to hear.
	Password string
	// NoPassword runs commands without asking.
	NoPassword bool
	// Tries is how often it asks before it gives up; 3 when zero.
	Tries int
	// NotAllowed refuses the user after the password was right.
	NotAllowed bool
	// NotInstalled is a host without sudo.
	NotInstalled bool
	// Mute neither asks nor runs anything until the client goes away.
	Mute bool
	// Lecture is written before the first question.
	Lecture string
	// NoisyShell is written to standard output before anything else, as by a start-up file of the login shell.
	NoisyShell string
	// Heard, if set, is called with each password that it is given.
	Heard func(password string)
}

// Handler puts s in front of next.
func (s Sudo) Handler(next Handler) Handler {
	return func(e *Exec) int {
		_, _ = fmt.Fprint(e.Stdout, s.NoisyShell)
		if len(e.Argv) < 3 || strings.Join(e.Argv[:3], " ") != "env LC_ALL=C sudo" {
			return next(e)
		}
		if s.NotInstalled {
			_, _ = fmt.Fprintln(e.Stderr, "env: 'sudo': No such file or directory")
			return 127
		}
		args := e.Argv[3:]
		var never, fromStdin bool
		prompt := "[sudo] password: "
		for len(args) > 0 && args[0] != "--" {
			switch {
			case args[0] == "-n":
				never = true
			case args[0] == "-S":
				fromStdin = true
			case args[0] == "-p" && len(args) > 1:
				prompt, args = args[1], args[1:]
			default:
				_, _ = fmt.Fprintln(e.Stderr, "usage: sudo")
				return 1
			}
			args = args[1:]
		}
		if len(args) < 2 {
			_, _ = fmt.Fprintln(e.Stderr, "usage: sudo")
			return 1
		}
		if s.Mute {
			_, _ = bufio.NewReader(e.Stdin).ReadString(0)
			return 1
		}
		if !s.NoPassword {
			if never || !fromStdin {
				_, _ = fmt.Fprintln(e.Stderr, "sudo: a password is required")
				return 1
			}
			if !s.ask(e, prompt) {
				return 1
			}
		}
		if s.NotAllowed {
			_, _ = fmt.Fprintf(e.Stderr, "%s is not in the sudoers file.\n", e.User)
			return 1
		}
		run := *e
		run.Argv = args[1:]
		_, run.Command, _ = strings.Cut(e.Command, " -- ")
		return next(&run)
	}
}

// ask leads the dialogue. Like sudo, it reads byte by byte, so that what follows the password is left to the command.
func (s Sudo) ask(e *Exec, prompt string) bool {
	tries := s.Tries
	if tries == 0 {
		tries = 3
	}
	_, _ = fmt.Fprint(e.Stderr, s.Lecture)
	for i := range tries {
		_, _ = fmt.Fprint(e.Stderr, prompt)
		var line []byte
		for b := make([]byte, 1); ; {
			n, err := e.Stdin.Read(b)
			if n == 1 && b[0] == '\n' {
				break
			}
			if n == 1 {
				line = append(line, b[0])
			}
			if err != nil {
				_, _ = fmt.Fprintf(e.Stderr, "\nsudo: no password was provided\nsudo: %d incorrect password attempts\n", i)
				return false
			}
		}
		if s.Heard != nil {
			s.Heard(string(line))
		}
		if string(line) == s.Password {
			return true
		}
		if i+1 < tries {
			_, _ = fmt.Fprintln(e.Stderr, "\nSorry, try again.")
		}
	}
	_, _ = fmt.Fprintf(e.Stderr, "\nsudo: %d incorrect password attempt\n", tries)
	return false
}
