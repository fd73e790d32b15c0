package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
	"github.com/kubewright/kubewright/pkg/fetch/checksum"
)

// downloadingEvery is how often an item that is being fetched says how far it is.
const downloadingEvery = 5 * time.Second

// defaultDownloads is how many fetches run at a time: enough to fill a line whose servers are far away.
const defaultDownloads = 6

// taken is a file out of a download.
type taken struct {
	path   string
	size   int64
	digest digest.Digest
	from   *Download
	spec   DownloadFile
}

// releases says whether the definition takes anything that others publish.
func (d *Definition) releases() bool {
	for i := range d.Images {
		if d.Images[i].Pull != nil {
			return true
		}
	}
	return len(d.Downloads) > 0
}

// store is where downloads and images of others are kept.
func (b *build) store() (*upstream.Store, error) {
	if b.o.Fetcher == nil {
		return nil, errors.New("the definition has downloads or images to pull, and there is no program to fetch them with")
	}
	mirrors := append(b.o.Mirrors[:len(b.o.Mirrors):len(b.o.Mirrors)], b.def.Mirrors...)
	if err := mirrors.Validate(); err != nil {
		return nil, err
	}
	parallel := b.o.Downloads
	if parallel <= 0 {
		parallel = defaultDownloads
	}
	return upstream.New(upstream.Options{
		Dir: filepath.Join(b.cache.dir, "content"), Scratch: b.scratch, Fetcher: b.o.Fetcher, Parallel: parallel, Lock: b.cache.lock,
		Mirrors: mirrors, Network: b.o.Network, Credentials: b.o.Credentials,
	}), nil
}

// takeAll takes all downloads and images of others, for all platforms.
func (b *build) takeAll(ctx context.Context, targets []*target) error {
	store, err := b.store()
	if err != nil {
		return err
	}
	b.pulled = map[string]*upstream.Image{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for i := range b.def.Images {
		spec := &b.def.Images[i]
		if spec.Pull == nil {
			continue
		}
		group.Go(func() error {
			item := b.item(spec.Name)
			image, err := store.Image(ctx, b.request(spec), item.tell)
			if err != nil {
				return err
			}
			item.end(string(image.Digest))
			mu.Lock()
			defer mu.Unlock()
			b.pulled[spec.Name] = image
			return nil
		})
	}
	for _, t := range targets {
		for i := range b.def.Downloads {
			d := &b.def.Downloads[i]
			group.Go(func() error {
				files, source, err := t.take(ctx, store, d)
				if err != nil {
					return fmt.Errorf("download %s of %s for %s: %w", d.item(t.platform), d.Component, t.platform, err)
				}
				mu.Lock()
				defer mu.Unlock()
				t.taken = append(t.taken, files...)
				t.sources = append(t.sources, source)
				t.checksums[d] = digest.Digest(source.Checksum)
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, t := range targets {
		inOneOrder(t.sources)
	}
	return nil
}

// inOneOrder puts sources into one order, whatever came first: it is written down in the bundle.
func inOneOrder(sources []bundle.Component) {
	slices.SortFunc(sources, func(a, b bundle.Component) int { return strings.Compare(a.Source, b.Source) })
}

// take brings one download and returns the files that are wanted of it, and its line in the bill of materials.
func (t *target) take(ctx context.Context, store *upstream.Store, d *Download) ([]taken, bundle.Component, error) {
	url := d.expand(d.URL, t.platform)
	item := t.item(d.item(t.platform))
	want := t.pinnedDownload(d, t.platform)
	if want == "" {
		var err error
		if want, err = t.known(ctx, store, d); err != nil {
			return nil, bundle.Component{}, err
		}
	}
	content, err := store.File(ctx, url, want, item.tell)
	if err != nil {
		return nil, bundle.Component{}, err
	}
	files, err := t.unpack(ctx, d, content)
	if err != nil {
		return nil, bundle.Component{}, err
	}
	item.end(d.Version)
	return files, bundle.Component{Name: d.Component, Version: d.Version, Type: "Release", Source: url, Checksum: want.String()}, nil
}

// known returns what the project says is the digest of its download. A clear signature is checked when the definition has keys for it;
// when not, that is said.
func (t *target) known(ctx context.Context, store *upstream.Store, d *Download) (digest.Digest, error) {
	at := d.expand(d.Checksum, t.platform)
	text, err := store.Text(ctx, at, checksum.MaxSize)
	if err != nil {
		return "", fmt.Errorf("its checksum: %w", err)
	}
	switch {
	case d.ChecksumKeys != "":
		keys, err := d.readKeys(t.def.dir)
		if err != nil {
			return "", fmt.Errorf("checksumKeys: %w", err)
		}
		var signer string
		if text, signer, err = keys.Verify(text, time.Now()); err != nil {
			return "", fmt.Errorf("its checksum at %s: %w", at, err)
		}
		t.noteSignature(at, "OpenPGP key "+signer)
	case checksum.IsSigned(text):
		if t.noteSignature(at, "not checked") {
			t.tell(Event{Component: d.item(t.platform), State: StateWarning, Detail: "its checksums are signed, and the signature was not checked: give the project's keys in checksumKeys"})
		}
	}
	sum, err := checksum.Find(text, d.item(t.platform))
	if err != nil {
		return "", fmt.Errorf("its checksum at %s: %w", at, err)
	}
	return digest.NewDigestFromEncoded(digest.SHA256, sum), nil
}

// noteSignature notes what was found of the signature of a file of checksums, and returns false if it was noted before.
func (b *build) noteSignature(at, found string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.signatures[at]; ok {
		return false
	}
	if b.signatures == nil {
		b.signatures = map[string]string{}
	}
	b.signatures[at] = found
	return true
}

// unpack returns the wanted files of a download, out of the cache where they were unpacked before.
func (t *target) unpack(ctx context.Context, d *Download, content upstream.Content) ([]taken, error) {
	if d.Files[0].Path == "" {
		return []taken{{path: content.Path, size: content.Size, digest: content.Digest, from: d, spec: d.Files[0]}}, nil
	}
	members := map[string]string{}
	for _, f := range d.Files {
		members[d.expand(f.Path, t.platform)] = f.Name
	}
	key, err := keyOf(struct {
		Archive digest.Digest
		Members map[string]string
	}{content.Digest, members})
	if err != nil {
		return nil, err
	}
	dir, _, err := t.cache.get(ctx, "unpacked", key, func(tmp string) error { return upstream.Unpack(ctx, content.Path, members, tmp) })
	if err != nil {
		return nil, err
	}
	var files []taken
	for _, f := range d.Files {
		file := filepath.Join(dir, f.Name)
		sum, size, err := hashFile(file)
		if err != nil {
			return nil, err
		}
		files = append(files, taken{path: file, size: size, digest: sum, from: d, spec: f})
	}
	return files, nil
}

// executable returns the path of a program of the platform, compiled or taken, that can be run; empty when there is none of the name.
func (t *target) executable(name string) (string, error) {
	if p, ok := t.programs[name]; ok {
		return p.path, nil
	}
	for _, f := range t.taken {
		if f.spec.Name != name {
			continue
		}
		// What lies in the cache is not to be run: it is kept for its bytes.
		to := filepath.Join(t.scratch, name)
		return to, copyProgram(to, f.path)
	}
	return "", nil
}

func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// progressOf is how far one item is. Its methods may be called from several goroutines.
type progressOf struct {
	build *build
	name  string
	start time.Time

	mu   sync.Mutex
	last upstream.Progress
	told time.Time
}

func (b *build) item(name string) *progressOf {
	return &progressOf{build: b, name: name, start: time.Now()}
}

// tell passes on how far it is, now and then. What comes out of the cache is worth one line in the end.
func (p *progressOf) tell(now upstream.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
	if now.Cached == now.Done || !p.told.IsZero() && time.Since(p.told) < downloadingEvery {
		return
	}
	state := StateWorking
	if p.told.IsZero() {
		state = StateStarted
	}
	p.told = time.Now()
	p.build.tell(p.event(state))
}

func (p *progressOf) event(s State) Event {
	return Event{Component: p.name, State: s, Duration: time.Since(p.start), Done: p.last.Done, Total: p.last.Total, Resumed: p.last.Resumed}
}

// end says that it is there.
func (p *progressOf) end(detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.event(StateDone)
	if e.Detail = detail; p.last.Cached == p.last.Done {
		e.State = StateCached
	}
	p.build.tell(e)
}

// imageOf is the line of an image of others in the bill of materials.
func imageOf(spec *Image, image *upstream.Image) bundle.Component {
	return bundle.Component{Name: spec.Component, Version: spec.Version, Type: "Image", Source: spec.Name, Checksum: image.Digest.String()}
}
