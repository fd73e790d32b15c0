package ssh_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func TestAFileThatWasCutOffIsGoneOnWith(t *testing.T) {
	content := bytes.Repeat([]byte("kubewright"), 400_000)
	s := shellServer(t, "/bin/sh")
	file := filepath.Join(t.TempDir(), "helper")
	opened, tries := 0, 0
	var sent int64
	for done := false; !done; {
		if tries++; tries > 10 {
			t.Fatal("it does not come to an end")
		}
		s.SetFaults(sshtest.Faults{DropAfterReceived: 1_500_000})
		c := dial(t, target(s))
		err := c.Place(t.Context(), placement(file, content, &opened))
		sent += c.Stats().BytesSent
		if lost := new(kssh.ConnectionLostError); err != nil && !errors.As(err, &lost) {
			t.Fatal(err)
		}
		done = err == nil
		// The program on the host has to notice first that nobody sends any more.
		s.Await(t, "the placing script has ended", func() bool { return s.Running() == 0 })
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are there: %v", len(got), err)
	}
	if left := others(t, filepath.Dir(file), "helper"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Each cut costs what was under way, at most a window of 2 MiB, and never the whole again.
	if tries < 3 || tries > 5 {
		t.Errorf("it took %d tries and %d bytes on the wire for a file of %d", tries, sent, len(content))
	}
}

func TestWhatLiesThereOfAFileIsNotTrusted(t *testing.T) {
	content := bytes.Repeat([]byte("right"), 1000)
	for _, tc := range []struct {
		name  string
		part  []byte
		tries int
	}{
		{"the right beginning", content[:2000], 1},
		{"all of it", content, 1},
		{"nothing", nil, 1},
		{"longer than the file", append(append([]byte{}, content...), 'x'), 1},
		{"another beginning", bytes.Repeat([]byte("wrong"), 400), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shellServer(t, "/bin/sh")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ".kubewright."+digest(content)+".part"), tc.part, 0o600); err != nil {
				t.Fatal(err)
			}
			opened, tries := 0, 0
			for err := os.ErrInvalid; err != nil; {
				if tries++; tries > tc.tries {
					t.Fatalf("it does not come to an end: %v", err)
				}
				err = dial(t, target(s)).Place(t.Context(), placement(dir+"/helper", content, &opened))
				if place := new(kssh.PlaceError); err != nil && !errors.As(err, &place) {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(dir + "/helper"); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes are there: %v", len(got), err)
			}
			if left := others(t, dir, "helper"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
