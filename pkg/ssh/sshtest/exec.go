package sshtest

import (
	"fmt"
	"io"
	"os/exec"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Exec is one command that a client asked for.
type Exec struct {
	// User is the account that is logged in.
	User string
	// Command is the string as it came.
	Command string
	// Argv is Command as a shell would split it, as far as blanks and single quotes go.
	Argv []string
	// Stdin, Stdout and Stderr are those of the command.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Handler runs a command and returns its exit status.
type Handler func(e *Exec) int

func (s *Server) session(user string, n ssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	for r := range requests {
		if r.Type != "exec" {
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
			continue
		}
		var payload struct{ Command string }
		f := s.currentFaults()
		if err := ssh.Unmarshal(r.Payload, &payload); err != nil || f.RefuseExec {
			_ = r.Reply(false, nil)
			continue
		}
		s.mu.Lock()
		s.commands = append(s.commands, payload.Command)
		s.running++
		s.notify()
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.running--
			s.notify()
			s.mu.Unlock()
		}()
		_ = r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		if f.VanishExec {
			return
		}
		status := 0
		if s.config.Handler != nil {
			status = s.config.Handler(&Exec{User: user, Command: payload.Command, Argv: split(payload.Command),
				Stdin: ch, Stdout: ch, Stderr: ch.Stderr()})
		}
		_ = ch.CloseWrite()
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		return
	}
}

func split(command string) []string {
	var out []string
	var word strings.Builder
	inWord, quoted := false, false
	for _, r := range command {
		switch {
		case r == '\'':
			quoted, inWord = !quoted, true
		case r == ' ' && !quoted:
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

// Plain puts before next what a shell would do with "/bin/sh -c SCRIPT LINE PROGRAM..." where SCRIPT prints LINE and runs
// the program: LINE is printed, and next gets the program in Argv. Other commands reach next as they are.
func Plain(next Handler) Handler {
	return func(e *Exec) int {
		if a := e.Argv; len(a) > 4 && a[0] == "/bin/sh" && a[1] == "-c" && strings.HasSuffix(a[2], `echo "$0"; exec "$@"`) {
			_, _ = fmt.Fprintln(e.Stdout, a[3])
			run := *e
			run.Argv = a[4:]
			return next(&run)
		}
		return next(e)
	}
}

// Shell is a Handler that gives the command to a real shell of the machine the test runs on, as sshd gives it to a login
// shell ("shell -c command"), with env as its whole environment.
func Shell(shell string, env ...string) Handler {
	return func(e *Exec) int {
		cmd := exec.Command(shell, "-c", e.Command)
		cmd.Env = env
		cmd.Stdout, cmd.Stderr = e.Stdout, e.Stderr
		// A pipe of our own, since Wait would otherwise wait for the client to close its end.
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			_, _ = fmt.Fprintln(e.Stderr, err)
			return 127
		}
		go func() {
			copyAll(in, e.Stdin)
			_ = in.Close()
		}()
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
}

// copyAll carries what arrived before a connection broke, as sshd does: the library reports the break with the first bytes that are read
// after it, and holds more.
func copyAll(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); werr != nil || n == 0 && err != nil {
			return
		}
	}
}
