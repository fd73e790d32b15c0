package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// press has a model take messages one after the other, and tells whether the last one ended the drawing.
func press(l live, messages ...tea.Msg) (live, bool) {
	ends := false
	for _, message := range messages {
		next, command := l.Update(message)
		l = next.(live)
		ends = false
		if command != nil {
			_, isTick := message.(tick)
			if !isTick { // a tick only asks for the next one, a fifth of a second later
				_, ends = command().(tea.QuitMsg)
			}
		}
	}
	return l, ends
}

func TestKeysOfTheLiveTable(t *testing.T) {
	ctrlC := tea.KeyMsg{Type: tea.KeyCtrlC}
	letter := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{'q'}}
	for name, test := range map[string]struct {
		messages []tea.Msg
		// stops is how often the caller was asked to stop, hint what the picture says of keys.
		stops     int
		ends      bool
		impatient bool
		hint      string
	}{
		"nothing was pressed":                              {[]tea.Msg{tick{}}, 0, false, false, runningHint},
		"a letter does nothing":                            {[]tea.Msg{letter}, 0, false, false, runningHint},
		"Ctrl-C asks for a safe point and goes on drawing": {[]tea.Msg{ctrlC}, 1, false, false, stoppingHint},
		"a letter after Ctrl-C is no second one":           {[]tea.Msg{ctrlC, letter, tick{}}, 1, false, false, stoppingHint},
		"Ctrl-C twice ends at once":                        {[]tea.Msg{ctrlC, ctrlC}, 1, true, true, ""},
		"the end of the work ends the drawing":             {[]tea.Msg{finished{}}, 0, true, false, ""},
		"the safe point that was asked for is no hurry":    {[]tea.Msg{ctrlC, finished{}}, 1, true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stops := 0
			l := live{board: NewBoard(New("demo", start)), stop: func() { stops++ }, width: 200, height: 24}
			l, ends := press(l, test.messages...)
			if stops != test.stops || ends != test.ends || l.impatient != test.impatient {
				t.Errorf("asked to stop %d times, ends %t, impatient %t", stops, ends, l.impatient)
			}
			picture := l.View()
			for _, hint := range []string{runningHint, stoppingHint} {
				if strings.Contains(picture, hint) != (hint == test.hint) {
					t.Errorf("want the hint %q, the picture is\n%s", test.hint, picture)
				}
			}
		})
	}
	t.Run("the picture keeps to the size of the terminal", func(t *testing.T) {
		board := NewBoard(New("demo", start))
		board.Update(func(m *Model) {
			for i := range 50 {
				m.AddHost(fmt.Sprintf("worker-%d", i), "worker")
			}
		})
		l, _ := press(live{board: board}, tea.WindowSizeMsg{Width: 40, Height: 10})
		lines := strings.Split(l.View(), "\n")
		if len(lines) > 10 {
			t.Errorf("%d lines on a terminal of 10", len(lines))
		}
	})
}

// screen is a terminal to draw on.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestTheLiveTableEndsWithTheWorkOrWithPatience(t *testing.T) {
	const ctrlC = "\x03"
	for name, test := range map[string]struct {
		// run presses keys and ends the work; stopped is closed when the caller was asked to stop.
		run  func(keys io.Writer, done context.CancelFunc, stopped <-chan struct{}) error
		want error
	}{
		"with the work": {func(_ io.Writer, done context.CancelFunc, _ <-chan struct{}) error {
			done()
			return nil
		}, nil},
		"with the safe point that one Ctrl-C asked for": {func(keys io.Writer, done context.CancelFunc, stopped <-chan struct{}) error {
			_, err := io.WriteString(keys, ctrlC)
			<-stopped
			done()
			return err
		}, nil},
		"with patience at a second Ctrl-C": {func(keys io.Writer, _ context.CancelFunc, stopped <-chan struct{}) error {
			_, err := io.WriteString(keys, ctrlC)
			<-stopped
			_, again := io.WriteString(keys, ctrlC)
			return errors.Join(err, again)
		}, ErrImpatient},
	} {
		t.Run(name, func(t *testing.T) {
			work, done := context.WithCancel(t.Context())
			defer done()
			in, keys := io.Pipe()
			defer in.Close()
			stopped := make(chan struct{})
			pressed := make(chan error, 1)
			go func() { pressed <- test.run(keys, done, stopped) }()
			var out screen
			err := ShowLive(work, NewBoard(New("demo", start)), in, &out, func() { close(stopped) })
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("it ended with %v, want %v", err, test.want)
			}
			select {
			case err := <-pressed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("keys were pressed that nobody read")
			}
			if out.String() == "" {
				t.Error("nothing was drawn")
			}
		})
	}
}
