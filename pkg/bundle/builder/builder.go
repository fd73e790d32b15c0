package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// Options are the options of Build.
type Options struct {
	// Definition is the definition file, Output the bundle to write.
	Definition, Output string
	// CacheDir keeps compiled programs and packages; empty means the user's cache directory.
	CacheDir string
	// Parallel is how many components to compile at a time; 0 means one or two, depending on the CPUs.
	Parallel int
	// Locked refuses Debian packages other than the pinned ones, instead of taking what the machine's sources offer when
	// the pinned ones are gone; and downloads and images that neither the definition nor its lock pins by digest.
	Locked bool
	// LockFile is the file with the Lock of the definition; empty means the one that LockFile names. It need not be there.
	LockFile string
	// Fetcher brings what others publish; it is needed for definitions with downloads or images to pull.
	Fetcher upstream.Fetcher
	// Downloads is how many fetches may run at a time; 0 means 6.
	Downloads int
	// Mirrors say where downloads and images are to be had instead. They come before those of the definition.
	Mirrors upstream.Mirrors
	// Network says what fetches may talk to, and how.
	Network fetch.Network
	// Credentials returns those for a host, perhaps with a port; it may be nil.
	Credentials func(ctx context.Context, host string) (fetch.Credentials, error)
	// Progress is told what happens, from several goroutines. It may be nil.
	Progress func(Event)
}

// Event is something that happened while building.
type Event struct {
	// Component is what it is about.
	Component string
	// State says what happened to it.
	State State
	// Detail adds words; it may be empty.
	Detail string
	// Duration is how long it took, or has taken so far.
	Duration time.Duration
	// Done of Total bytes are there, of which an earlier build had brought Resumed; all zero for what is not fetched, and Total while
	// it is unknown.
	Done, Total, Resumed int64
}

// State is what an Event is about.
type State string

// The states an Event can tell.
const (
	// StateStarted begins work.
	StateStarted State = "started"
	// StateWorking repeats now and then while work lasts.
	StateWorking State = "working"
	// StateCached says that nothing had to be done.
	StateCached State = "cached"
	// StateDone ends work.
	StateDone State = "done"
	// StateWarning says that something differs from what the definition pins.
	StateWarning State = "warning"
)

// Result is the outcome of a build.
type Result struct {
	// Digest is the bundle's digest.
	Digest digest.Digest
	// Path is the file, Size its length in bytes.
	Path string
	Size int64
	// Config is what the bundle says about itself.
	Config *bundle.Config
	// Lacks is what the definition names and some platform does not get.
	Lacks []Lack
	// Duration is how long the build took.
	Duration time.Duration
}

// build is one run of Build.
type build struct {
	o       Options
	def     *Definition
	lock    *Lock
	created time.Time
	cache   cache
	scratch string
	// pulled are the images of others by name.
	pulled map[string]*upstream.Image

	mu sync.Mutex
	// signatures say by URL who signed a file of checksums, of those that are signed.
	signatures map[string]string
}

// program is a compiled program.
type program struct {
	path      string
	size      int64
	digest    digest.Digest
	component *Component
	spec      Program
}

// Build makes the bundle a definition describes. What is cached under a key made of everything that goes into it is not
// built again, and what is cached by its digest not fetched again.
func Build(ctx context.Context, o Options) (_ *Result, err error) {
	start := time.Now()
	def, err := LoadDefinition(o.Definition)
	if err != nil {
		return nil, err
	}
	b := &build{o: o, def: def}
	native := nativePlatform()
	if !slices.Contains(def.Platforms, native) {
		return nil, &FieldError{File: o.Definition, Field: "platforms",
			Reason: fmt.Sprintf("%s is not among them, which this machine is: its kubeadm is run to see which images it wants", native)}
	}
	done, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	if b.lock, err = loadLock(b.o.LockFile); err != nil {
		return nil, err
	}
	if o.Locked {
		if err := b.unpinned(); err != nil {
			return nil, err
		}
	}
	if b.created, err = sourceDate(def.SourceDateEpoch); err != nil {
		return nil, err
	}
	// A relative output is meant relative to where the user is, and must be writable before minutes are spent.
	if b.o.Output, err = filepath.Abs(o.Output); err != nil {
		return nil, err
	}
	if st, err := os.Stat(filepath.Dir(b.o.Output)); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("output %s: its directory does not exist", b.o.Output)
	}

	targets := b.targets()
	if def.releases() {
		if err := b.takeAll(ctx, targets); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		if err := t.make(ctx); err != nil {
			return nil, fmt.Errorf("for %s: %w", t.platform, err)
		}
	}
	cfg, blobs, err := b.compose(targets)
	if err != nil {
		return nil, err
	}
	attachments, err := b.evidence(ctx, cfg, targets)
	if err != nil {
		return nil, err
	}
	writing := time.Now()
	b.tell(Event{Component: "bundle", State: StateStarted, Detail: "writing " + b.o.Output})
	d, err := bundle.Write(ctx, b.o.Output, cfg, blobs, attachments...)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(b.o.Output)
	if err != nil {
		return nil, err
	}
	b.tell(Event{Component: "bundle", State: StateDone, Detail: string(d), Duration: time.Since(writing)})
	r := &Result{Digest: d, Path: b.o.Output, Size: st.Size(), Config: cfg, Duration: time.Since(start)}
	for _, t := range targets {
		r.Lacks = append(r.Lacks, t.lacks...)
	}
	return r, nil
}

// open fills in what options leave out, and opens the cache. Call done at the end.
func (b *build) open() (done func() error, err error) {
	if b.o.Parallel <= 0 {
		b.o.Parallel = min(2, runtime.NumCPU())
	}
	if b.o.LockFile == "" {
		b.o.LockFile = LockFile(b.o.Definition)
	}
	if b.cache, err = openCache(b.o.CacheDir); err != nil {
		return nil, err
	}
	if b.scratch, err = os.MkdirTemp(b.cache.dir, "scratch-"); err != nil {
		return nil, err
	}
	return func() error { return os.RemoveAll(b.scratch) }, nil
}

// targets are the platforms to build for.
func (b *build) targets() []*target {
	var targets []*target
	for _, platform := range b.def.Platforms {
		targets = append(targets, &target{
			build: b, platform: platform, native: platform == nativePlatform(), programs: map[string]program{}, checksums: map[*Download]digest.Digest{},
		})
	}
	return targets
}

// nativePlatform is that of this machine.
func nativePlatform() string { return runtime.GOOS + "/" + runtime.GOARCH }

func (b *build) tell(e Event) {
	if b.o.Progress != nil {
		b.o.Progress(e)
	}
}

// sourceDate is SOURCE_DATE_EPOCH (https://reproducible-builds.org/docs/source-date-epoch/) or the definition's.
func sourceDate(fixed int64) (time.Time, error) {
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%q is not a number of seconds since 1970", s)
		}
		fixed = n
	}
	return time.Unix(fixed, 0).UTC(), nil
}
