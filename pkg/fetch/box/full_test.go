package box

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// goesOnWhenThereIsRoom has a fetch run out of room, makes room, and sees that the next one brings no more than what was not safe.
func goesOnWhenThereIsRoom(t *testing.T, b *bench, want []byte, asked *[]string, makeRoom func()) {
	t.Helper()
	for range 2 { // trying again without room changes nothing
		b.fails(fetch.DiskFull, "make room")
		if b.partSize() == 0 {
			t.Fatal("nothing was kept of what there was room for")
		}
	}
	safe := markOf(t, b)
	if safe == 0 {
		t.Fatal("nothing was made safe")
	}
	makeRoom()
	*asked = nil
	if result := b.whole(want); result.Received != size-safe {
		t.Errorf("%d bytes were received, and %d of %d had been safe", result.Received, safe, size)
	}
	if len(*asked) != 1 || (*asked)[0] == "" {
		t.Errorf("it asked for %q", *asked)
	}
}

// noting serves bytes and notes the ranges that are asked for.
func noting(t *testing.T, want []byte) (*bench, *[]string) {
	t.Helper()
	var asked []string
	return newBench(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		file(want)(w, r)
	}), &asked
}

// Others fill the disk too, so that there was room when the fetch began says nothing.
func TestADiskThatGetsFullMeanwhile(t *testing.T) {
	want := content(size, 1)
	b, asked := noting(t, want)
	room := int64(3*every + 1000)
	b.fetcher.write = func(f *os.File, data []byte) (int, error) {
		at, err := f.Seek(0, 1)
		if err != nil {
			return 0, err
		}
		// As the kernel does it: what there is room for is written, and the rest fails.
		n, err := f.Write(data[:max(0, min(int64(len(data)), room-at))])
		if err == nil && n < len(data) {
			err = &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return n, err
	}
	goesOnWhenThereIsRoom(t, b, want, asked, func() { room = size })
}

func TestAFileSystemThatIsReallyFull(t *testing.T) {
	want := content(size, 1)
	b, asked := noting(t, want)
	b.fetcher.free = func(string) (int64, error) { return size, nil } // as it was before others wrote
	dir := filepath.Dir(mkdir(t, b))
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("file systems cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	goesOnWhenThereIsRoom(t, b, want, asked, func() { check(t, unix.Mount("small", dir, "tmpfs", unix.MS_REMOUNT, "size=4m")) })
}
