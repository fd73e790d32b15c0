package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

const (
	// frameEvery is how often the terminal is drawn.
	frameEvery = 200 * time.Millisecond

	runningHint  = "Ctrl-C stops; the same command continues later."
	stoppingHint = "Stopping at a safe point ... Ctrl-C again ends at once; the same command continues in either case."
)

// ErrImpatient says that the user asked a second time to stop.
var ErrImpatient = errors.New("stopped at once")

// ShowLive draws the board on a terminal until ctx ends, and leaves the last picture there. stop is called when the user presses
// Ctrl-C, which a terminal in this mode does not turn into a signal; pressed again it ends the drawing with ErrImpatient.
func ShowLive(ctx context.Context, board *Board, in io.Reader, out io.Writer, stop func()) error {
	// Signals stay with the caller; bubbletea would end the drawing but not the work.
	program := tea.NewProgram(live{board: board, stop: stop, width: 80, height: 24},
		tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			program.Send(finished{})
		case <-ended:
		}
	}()
	final, err := program.Run()
	if err != nil {
		return fmt.Errorf("draw progress on the terminal: %w; use --plain", err)
	}
	if l, ok := final.(live); ok && l.impatient {
		return ErrImpatient
	}
	return nil
}

// finished ends the drawing after one more picture.
type finished struct{}

// tick draws the next picture.
type tick struct{}

// live is the bubbletea model: the size of the terminal and what keys asked for. What is drawn comes from the board.
type live struct {
	board         *Board
	stop          func()
	width, height int
	stopping      bool
	impatient     bool
	done          bool
}

// Init starts the ticking.
func (l live) Init() tea.Cmd { return nextTick() }

func nextTick() tea.Cmd { return tea.Tick(frameEvery, func(time.Time) tea.Msg { return tick{} }) }

// Update takes keys, sizes and ticks.
func (l live) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		l.width, l.height = message.Width, message.Height
	case tea.KeyMsg:
		if message.Type != tea.KeyCtrlC {
			break
		}
		if l.stopping {
			l.impatient = true
			return l, tea.Quit
		}
		l.stopping = true
		l.stop()
	case finished:
		l.done = true
		return l, tea.Quit
	case tick:
		return l, nextTick()
	}
	return l, nil
}

// View draws the board. The last picture has no hint, since no key does anything any more.
func (l live) View() string {
	hint := runningHint
	switch {
	case l.done || l.impatient:
		hint = ""
	case l.stopping:
		hint = stoppingHint
	}
	// One row less than the terminal has, for the line the cursor rests on.
	return Frame(l.board.View(time.Now()), l.width, l.height-1, ColourStyle, hint) + "\n"
}
