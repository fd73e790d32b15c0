package progress

import (
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
)

// Board is a Model that several goroutines may use: some tell what happens, one shows it.
type Board struct {
	mu    sync.Mutex
	model *Model
}

// NewBoard puts a model on a board; it must not be used directly any more.
func NewBoard(model *Model) *Board { return &Board{model: model} }

// Emit takes an event, so a Board is an engine.Sink.
func (b *Board) Emit(e engine.Event) { b.Update(func(m *Model) { m.Observe(e) }) }

// Update changes the model.
func (b *Board) Update(change func(*Model)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b.model)
}

// View is the present picture.
func (b *Board) View(now time.Time) View {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.model.View(now)
}

// Lines is what has to be told since the last call; see Model.Lines.
func (b *Board) Lines(now time.Time, last bool) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.model.Lines(now, last)
}
