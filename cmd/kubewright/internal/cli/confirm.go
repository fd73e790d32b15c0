package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errNotConfirmed ends a command that the user did not want after all.
var errNotConfirmed = errors.New("it was not confirmed, so nothing was done")

// confirm asks on a terminal. Elsewhere nobody could answer, and otherwise says what to do.
func confirm(ctx context.Context, env Environment, question, otherwise string) error {
	in, ok := env.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return badInput(errNotConfirmed, otherwise)
	}
	return askYesNo(ctx, in, env.Out, question)
}

// askYesNo waits for a line that says yes. A context that ends first is the error: reading a terminal does not end with it.
func askYesNo(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	if _, err := fmt.Fprintf(out, "\n%s [y/N] ", question); err != nil {
		return err
	}
	type line struct {
		text string
		err  error
	}
	lines := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		lines <- line{text, err}
	}()
	var answer line
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case answer = <-lines:
	}
	if answer.err != nil && !errors.Is(answer.err, io.EOF) {
		return fmt.Errorf("read the answer: %w", answer.err)
	}
	switch strings.ToLower(strings.TrimSpace(answer.text)) {
	case "y", "yes":
		return nil
	}
	return badInput(errNotConfirmed, "")
}
