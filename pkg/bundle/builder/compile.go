package builder

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// workingEvery is how often a component that is being compiled says that it still is.
const workingEvery = 20 * time.Second

// compileAll compiles every component, or finds it in the cache, and fills programs and sources.
func (t *target) compileAll(ctx context.Context) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.o.Parallel)
	for i := range t.def.Components {
		c := &t.def.Components[i]
		if why := t.without(ctx, c); why != "" {
			t.lack(c.Name, why)
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			programs, sources, err := t.compile(ctx, c)
			if err != nil {
				return fmt.Errorf("component %s: %w", c.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range programs {
				t.programs[p.spec.Name] = p
			}
			t.sources = append(t.sources, sources...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	orderedLacks(t.lacks)
	return nil
}

// compile returns the component's programs and its lines in the bill of materials.
func (t *target) compile(ctx context.Context, c *Component) ([]program, []bundle.Component, error) {
	start := time.Now()
	var (
		dir string
		hit bool
		err error
	)
	if c.Own {
		dir = filepath.Join(t.scratch, c.Name+"-"+t.arch())
		err = t.runGo(ctx, c, dir)
	} else {
		var key string
		if key, err = t.keyFor(ctx, c); err == nil {
			dir, hit, err = t.cache.get(ctx, "go", key, func(tmp string) error { return t.runGo(ctx, c, tmp) })
		}
	}
	if err != nil {
		return nil, nil, err
	}
	var programs []program
	var sources []bundle.Component
	for _, p := range c.Programs {
		file := filepath.Join(dir, p.Name)
		source := bundle.Component{Name: c.Name, Version: c.Version, Type: "Own"}
		if !c.Own {
			if source, err = sourceOf(c, p, file); err != nil {
				return nil, nil, err
			}
		}
		if !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
		d, size, err := hashFile(file)
		if err != nil {
			return nil, nil, err
		}
		programs = append(programs, program{path: file, size: size, digest: d, component: c, spec: p})
	}
	state := StateDone
	if hit {
		state = StateCached
	}
	t.tell(Event{Component: c.Name, State: state, Detail: c.Version, Duration: time.Since(start)})
	return programs, sources, nil
}

// runGo compiles the component's programs into dir under their names.
func (t *target) runGo(ctx context.Context, c *Component, dir string) error {
	ldflags, err := t.ldflags(c)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, ".out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", out + string(filepath.Separator), "-ldflags", ldflags}
	if len(c.Tags) > 0 {
		args = append(args, "-tags", strings.Join(c.Tags, ","))
	}
	args = append(args, "--")
	for _, p := range c.Programs {
		args = append(args, p.Package)
	}
	t.tell(Event{Component: c.Name, State: StateStarted, Detail: c.Version})
	stop := t.tellWorking(c.Name)
	defer stop()
	env, err := t.goEnv(ctx, c)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(t.def.dir, c.Module)
	cmd.Env = env
	if _, err := run(cmd); err != nil {
		return err
	}
	for _, p := range c.Programs {
		if err := os.Rename(filepath.Join(out, commandName(p.Package)), filepath.Join(dir, p.Name)); err != nil {
			return fmt.Errorf("package %s made no program: %w", p.Package, err)
		}
	}
	return os.Remove(out)
}

// tellWorking tells now and then that a component is still being compiled, until stop is called.
func (b *build) tellWorking(name string) (stop func()) {
	done := make(chan struct{})
	start := time.Now()
	go func() {
		tick := time.NewTicker(workingEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.tell(Event{Component: name, State: StateWorking, Duration: time.Since(start)})
			}
		}
	}()
	return func() { close(done) }
}

// commandName is the name the go command gives a program: the last element of its import path that is no major version.
func commandName(pkg string) string {
	base := path.Base(pkg)
	if regexp.MustCompile(`^v[0-9]+$`).MatchString(base) {
		return path.Base(path.Dir(pkg))
	}
	return base
}

// ldflags are the linker flags: no symbol tables, no build id, and the versions the component wants to know.
func (b *build) ldflags(c *Component) (string, error) {
	vars := map[string]string{}
	for k, v := range c.Variables {
		vars[k] = v
	}
	if len(c.Stamp) > 0 {
		commit, err := b.moduleCommit(c)
		if err != nil {
			return "", err
		}
		parts := strings.SplitN(strings.TrimPrefix(c.Version, "v"), ".", 3)
		if len(parts) < 2 {
			return "", fmt.Errorf("version %q has no major and minor part to stamp", c.Version)
		}
		for _, pkg := range c.Stamp {
			vars[pkg+".gitVersion"] = c.Version
			vars[pkg+".gitMajor"] = parts[0]
			vars[pkg+".gitMinor"] = parts[1]
			vars[pkg+".gitTreeState"] = "clean"
			vars[pkg+".gitCommit"] = commit
			vars[pkg+".buildDate"] = b.created.Format(time.RFC3339)
		}
	}
	flags := []string{"-s", "-w", "-buildid="}
	for _, k := range sortedKeys(vars) {
		if strings.ContainsAny(k+vars[k], " \t\n'\"\\") {
			return "", fmt.Errorf("variable %s: names and values must not contain blanks or quotes", k)
		}
		flags = append(flags, "-X", k+"="+vars[k])
	}
	if c.Cgo {
		flags = append(flags, "-linkmode", "external", "-extldflags", `"-static"`)
	}
	return strings.Join(flags, " "), nil
}

// moduleCommit stands in for the git commit, which a module does not carry: the first 20 bytes, in hex, of the hash by
// which the Go checksum database knows the module of the component's first program.
func (b *build) moduleCommit(c *Component) (string, error) {
	file := filepath.Join(b.def.dir, c.Module, "go.sum")
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[1] != c.moduleVersion() || !inModule(c.Programs[0].Package, f[0]) {
			continue
		}
		if sum, ok := strings.CutPrefix(f[2], "h1:"); ok {
			return shortHash(sum)
		}
	}
	return "", fmt.Errorf("%s has no line for the module of %s at %s; run go mod tidy there", file, c.Programs[0].Package, c.moduleVersion())
}

// inModule says whether a package path lies in a module's path.
func inModule(pkg, module string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }

// moduleVersion is the module's version: the component's, with the leading v that some components leave out.
func (c *Component) moduleVersion() string { return "v" + strings.TrimPrefix(c.Version, "v") }

// keyFor hashes everything that decides what the compiler makes of a component.
func (t *target) keyFor(ctx context.Context, c *Component) (string, error) {
	ldflags, err := t.ldflags(c)
	if err != nil {
		return "", err
	}
	key := struct {
		Scheme    int
		Go        string
		Platform  string
		Component Component
		Ldflags   string
		Module    map[string]digest.Digest
		Compiler  string
		Debian    string
		CFlags    string `json:",omitempty"`
	}{Scheme: 1, Go: t.def.Go, Platform: t.platform, Component: *c, Ldflags: ldflags, Module: map[string]digest.Digest{}}
	dir := filepath.Join(t.def.dir, c.Module)
	if err := hashModule(ctx, dir, key.Module); err != nil {
		return "", err
	}
	if c.Cgo {
		if key.Compiler, err = compilerVersion(ctx, t.cc()); err != nil {
			return "", err
		}
	}
	if c.Sysroot {
		key.Debian, key.CFlags = t.debian.key, sysrootFlags("")
	}
	return keyOf(key)
}

// hashModule hashes go.mod, go.sum and the trees of local replacements.
func hashModule(ctx context.Context, dir string, into map[string]digest.Digest) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		d, _, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		into[name] = d
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "edit", "-json")
	cmd.Dir = dir
	out, err := run(cmd)
	if err != nil {
		return err
	}
	var mod struct {
		Replace []struct {
			New struct{ Path, Version string }
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return fmt.Errorf("go mod edit -json: %w", err)
	}
	for _, r := range mod.Replace {
		if r.New.Version != "" {
			continue
		}
		root := filepath.Join(dir, r.New.Path)
		err := filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			d, _, err := hashFile(p)
			rel, _ := filepath.Rel(root, p)
			into[r.New.Path+"/"+rel] = d
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compilerVersion tells the C compiler and the static C library apart from others.
func compilerVersion(ctx context.Context, cc string) (string, error) {
	out, err := run(exec.CommandContext(ctx, cc, "--version"))
	if err != nil {
		return "", fmt.Errorf("a C compiler is needed (on Debian: apt-get install gcc libc6-dev): %w", err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	if out, err = run(exec.CommandContext(ctx, cc, "-print-file-name=libc.a")); err != nil {
		return "", err
	}
	libc, _, err := hashFile(strings.TrimSpace(string(out)))
	if err != nil {
		return "", fmt.Errorf("the static C library is needed (on Debian: apt-get install libc6-dev): %w", err)
	}
	return string(first) + " " + string(libc), nil
}

// goEnv is the environment of the go command: the user's, without what would change the outcome.
func (t *target) goEnv(ctx context.Context, c *Component) ([]string, error) {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GOWORK", "GODEBUG", "GOTOOLCHAIN", "GO111MODULE", "GOAMD64", "GOARM64",
			"GO386", "GOARM", "GOFIPS140", "CC", "CXX", "AR", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "LD_LIBRARY_PATH":
			return true
		}
		return strings.HasPrefix(name, "CGO_") || strings.HasPrefix(name, "PKG_CONFIG")
	})
	goos, goarch, _ := strings.Cut(t.platform, "/")
	cgo := "0"
	if c.Cgo {
		cgo = "1"
	}
	env = append(env, "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOEXPERIMENT=", "GOTOOLCHAIN=go"+t.def.Go,
		"GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "CGO_ENABLED="+cgo,
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", t.created.Unix()))
	if c.Cgo {
		env = append(env, "CC="+t.cc())
	}
	if c.Sysroot {
		pkgConfig, err := t.pkgConfig(ctx)
		if err != nil {
			return nil, err
		}
		// The go command's cache knows nothing of what pkg-config answers, so that it would hand out packages compiled against the
		// libraries of another build. This flag says the same, and is part of its key. It leaves no trace in the program.
		env = append(env, "PKG_CONFIG="+pkgConfig, "KUBEWRIGHT_SYSROOT="+t.debian.dir, "KUBEWRIGHT_TRIPLE="+t.triple(),
			"CGO_CFLAGS="+sysrootFlags(t.debian.dir))
	}
	return env, nil
}

// sysrootFlags tell the C compiler where the Debian packages' headers are.
func sysrootFlags(dir string) string { return "-O2 -I" + dir + "/usr/include" }

// pkgConfig compiles the stand-in for pkg-config that looks into the Debian packages only.
func (b *build) pkgConfig(ctx context.Context) (string, error) {
	out := filepath.Join(b.scratch, "pkg-config")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "./src/pkgconfig")
	cmd.Dir = b.def.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	_, err := run(cmd)
	return out, err
}

// sourceOf reads out of a program which module it was made from, and checks that it has the component's version.
func sourceOf(c *Component, p Program, file string) (bundle.Component, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return bundle.Component{}, err
	}
	found := info.Main // the module the main package is of, even when it was built from another
	if !inModule(p.Package, found.Path) {
		return bundle.Component{}, fmt.Errorf("program %s says it is of module %s, not of %s", p.Name, found.Path, p.Package)
	}
	if found.Version != c.moduleVersion() {
		return bundle.Component{}, fmt.Errorf("%s pins %s %s, the definition says %s; make them agree", c.Module, found.Path, found.Version, c.Version)
	}
	return bundle.Component{Name: c.Name, Version: c.Version, Type: "Go", Source: found.Path, Checksum: found.Sum}, nil
}

func hashFile(file string) (digest.Digest, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	digester := digest.SHA256.Digester()
	n, err := io.Copy(digester.Hash(), f)
	return digester.Digest(), n, err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
