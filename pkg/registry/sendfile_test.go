package registry

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// drainEnv makes the test program a client that fetches one URL and throws it away: measured from outside, the server's process
// shows only the server's work.
const drainEnv = "KUBEWRIGHT_TEST_DRAIN"

func TestMain(m *testing.M) {
	if url := os.Getenv(drainEnv); url != "" {
		if err := drain(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func drain(url string) error {
	resp, err := http.Get(url) //nolint:gosec,noctx // a loopback address given by the test
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// hidden is a Source whose content does not look like a file, so that it has to be copied through the process.
type hidden struct{ Source }

func (h hidden) Blob(d digest.Digest) (*io.SectionReader, error) {
	s, err := h.Source.Blob(d)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(s, 0, s.Size()), nil
}

// cpu is the processor time of this process so far, without its children.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkServeBlob tells what serving a large blob costs the server, by the kernel and through the process.
func BenchmarkServeBlob(b *testing.B) {
	const size = 512 << 20
	f := newFixture(b, size)
	for _, bb := range []struct {
		name   string
		source Source
	}{
		{"from the file", FromBundle(f.bundle)},
		{"through the process", hidden{FromBundle(f.bundle)}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			url := "http://" + serve(b, must[*Handler](b)(New(Options{}, bb.source))) + "/blobs/sha256/" + f.fileDigest().Encoded()
			b.SetBytes(size)
			before := cpu(b)
			b.ResetTimer()
			for b.Loop() {
				c := exec.Command(os.Args[0]) //nolint:gosec // the test program itself
				c.Env = append(os.Environ(), drainEnv+"="+url)
				if out, err := c.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(b.N)/(size>>20)*1024, "server-cpu-ms/GiB")
		})
	}
}
