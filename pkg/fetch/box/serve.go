package box

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// heartbeat is how often a message is written at least.
const heartbeat = time.Second

// maxRequest bounds the document on the standard input; authorities are the largest part of it.
const maxRequest = 4 << 20

// Serve reads one request, carries it out and writes messages until it is done. It returns the code to exit with.
func Serve(ctx context.Context, in io.Reader, out io.Writer) int {
	w := &writer{out: json.NewEncoder(out)}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	result, err := serve(ctx, in, w, stop)
	if err != nil {
		// When nobody reads any more, the exit code still tells.
		_ = w.write(fetch.Message{Failure: failureOf(err)})
		return 1
	}
	if w.write(fetch.Message{Result: &result}) != nil {
		return 1
	}
	return 0
}

func serve(ctx context.Context, in io.Reader, w *writer, stop context.CancelCauseFunc) (fetch.Result, error) {
	var request fetch.Request
	decoder := json.NewDecoder(io.LimitReader(in, maxRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		// The error's text could hold a piece of the document, which holds credentials.
		return fetch.Result{}, &fetch.Error{Kind: fetch.Invalid, Message: "the request on the standard input cannot be read: programs of different releases?"}
	}
	f := newFetcher()
	ended := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				progress := f.progress()
				if err := w.write(fetch.Message{Progress: &progress}); err != nil {
					stop(fmt.Errorf("nobody reads what this program says any more: %w", err))
				}
			}
		}
	})
	result, err := f.fetch(ctx, request)
	close(ended)
	beat.Wait()
	return result, err
}

// failureOf is an error in the words of the protocol.
func failureOf(err error) *fetch.Error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e
	}
	return &fetch.Error{Kind: fetch.Failed, Message: err.Error()}
}

// writer writes one message at a time.
type writer struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (w *writer) write(m fetch.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Encode(m)
}
