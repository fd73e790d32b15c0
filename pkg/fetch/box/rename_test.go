package box

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// dieAtRename carries out the request on the standard input and kills this very process around the moment in which the file gets its name.
func dieAtRename(when string) int {
	var request fetch.Request
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		return 2
	}
	f := newFetcher()
	f.rename = func(from, to string) error {
		var err error
		if when == "after" {
			err = os.Rename(from, to)
		}
		if err == nil {
			err = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return err
	}
	if _, err := f.fetch(context.Background(), request); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func TestKilledWhenTheFileGetsItsName(t *testing.T) {
	want, other := content(size+1, 1), content(size+1, 2)
	for title, test := range map[string]struct {
		when   string
		change func(b *bench)
		want   []byte
		asks   int
	}{
		"right before: all bytes are there and only the name is given": {"before", func(*bench) {}, want, 0},
		"right after: the file is there and only the traces go":        {"after", func(*bench) {}, want, 0},
		"right after, and the sum is known now": {"after", func(b *bench) {
			b.request.Expect.SHA256 = sumOf(want)
		}, want, 0},
		"right after, and another file is asked for now": {"after", func(b *bench) {
			b.request.Expect.SHA256 = sumOf(other)
		}, other, 1},
		"right after, and another source is named now": {"after", func(b *bench) {
			b.request.Source += "x"
		}, want, 1},
		"right after, and somebody cut the file off": {"after", func(b *bench) {
			check(b.t, os.Truncate(b.request.Destination, size))
		}, want, 1},
		"right after, and somebody took the file away": {"after", func(b *bench) {
			check(b.t, os.Remove(b.request.Destination))
		}, want, 1},
	} {
		t.Run(title, func(t *testing.T) {
			served, asked := want, 0
			b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				file(served)(w, r)
			})
			document, err := json.Marshal(b.request)
			check(t, err)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "die-at-rename", test.when) //nolint:gosec // this very program
			cmd.Stdin = bytes.NewReader(document)
			out, err := cmd.CombinedOutput()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("it was not killed: %v: %s", err, out)
			}
			placed, err := os.ReadFile(b.request.Destination)
			if test.when == "before" && !os.IsNotExist(err) || test.when == "after" && !bytes.Equal(placed, want) {
				t.Fatalf("in the file's place are %d bytes, %v", len(placed), err)
			}
			test.change(b)
			served, asked = test.want, 0
			result := b.whole(test.want)
			if asked != test.asks || (result.Received == 0) != (test.asks == 0) {
				t.Errorf("it asked %d times and received %d bytes", asked, result.Received)
			}
		})
	}
}
