package progress

import (
	"context"
	"fmt"
	"io"
	"time"
)

// plainEvery is how often plain lines are written; what happens within is put together.
const plainEvery = time.Second

// ShowPlain writes a line for each thing that happens, until ctx ends. Errors of w are returned, and end it.
func ShowPlain(ctx context.Context, board *Board, w io.Writer) error {
	ticker := time.NewTicker(plainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return writeLines(w, board.Lines(time.Now(), true))
		case now := <-ticker.C:
			if err := writeLines(w, board.Lines(now, false)); err != nil {
				return err
			}
		}
	}
}

func writeLines(w io.Writer, lines []Line) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("write progress: %w", err)
		}
	}
	return nil
}
