package builder

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	goMod     = "module example.test/own\n\ngo 1.26.0\n"
	kubeadmGo = `package main

import "fmt"

var version = "unset"

func main() { fmt.Println("registry.test/pause:" + version) }
`
	pauseGo = "package main\n\nfunc main() {}\n"
	// definition is complete and builds without anything from the network.
	definition = `name: small
kubernetesVersion: v1.36.3
platforms: [PLATFORM]
go: GOVERSION
sourceDateEpoch: 1700000000
components:
- name: own
  version: v1.0.0
  module: .
  own: true
  variables: {main.version: v9}
  programs:
  - {name: kubeadm, package: ./kubeadm, file: Binary}
  - {name: hold, package: ./pause}
files:
- {name: ns.yaml, path: ns.yaml, kind: Manifest, component: ns, version: v1}
layers:
- name: base
  texts: {etc/passwd: "root:x:0:0::/:/x\n"}
images:
- name: registry.test/pause:v9
  component: pause
  version: v9
  base: base
  layer: {programs: {pause: hold}, links: {bin/hold: ../pause}, directories: [tmp]}
  entrypoint: [/pause]
`
)

// project writes a small source tree and returns its definition file, with replacements made in the definition.
func project(t *testing.T, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	def := strings.NewReplacer("PLATFORM", runtime.GOOS+"/"+runtime.GOARCH, "GOVERSION", strings.TrimPrefix(runtime.Version(), "go")).Replace(definition)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(def, replace[i]) {
			t.Fatalf("the definition has no %q", replace[i])
		}
		def = strings.Replace(def, replace[i], replace[i+1], 1)
	}
	for name, content := range map[string]string{
		"go.mod": goMod, "kubeadm/main.go": kubeadmGo, "pause/main.go": pauseGo, "ns.yaml": "kind: Namespace\n", "def.yaml": def,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "def.yaml")
}

func TestBuildingTwiceInDifferentPlacesGivesTheSameDigest(t *testing.T) {
	var results [2]*Result
	for i := range results {
		var err error
		results[i], err = Build(context.Background(), Options{
			Definition: project(t), Output: filepath.Join(t.TempDir(), "x.bundle"), CacheDir: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if results[0].Digest != results[1].Digest {
		t.Errorf("digests are %s and %s", results[0].Digest, results[1].Digest)
	}
	// What is attached is not covered by the digest, but just as reproducible.
	if first, second := read(t, results[0].Path), read(t, results[1].Path); !bytes.Equal(first, second) {
		t.Error("the files differ")
	}
	b, err := bundle.Open(results[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(context.Background(), bundle.VerifyOptions{Expected: results[0].Digest}); err != nil {
		t.Error(err)
	}
	r, err := b.Release("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.File("hold", runtime.GOOS+"/"+runtime.GOARCH); err == nil {
		t.Error("a program that only images need became a file")
	}
	img, err := r.Image("pause")
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "pause")
	if err := b.ExtractFromImage(context.Background(), img, r.Platforms[0], "pause", dst); err != nil {
		t.Error(err)
	}
}

func TestOnlyInAManifestTheVersionIsReplaced(t *testing.T) {
	for kind, want := range map[bundle.FileKind]string{
		bundle.FileManifest: "image: registry.test/a:v1.2.3 # v1.2.3",
		bundle.FileBinary:   "image: registry.test/a:{version} # {version}",
	} {
		f := File{Kind: kind, Version: "v1.2.3"}
		if got := string(f.content([]byte("image: registry.test/a:{version} # {version}"))); got != want {
			t.Errorf("in a %s it becomes %q, want %q", kind, got, want)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// foreign is a platform this machine is not, and its machine in ELF headers.
func foreign() (string, elf.Machine) {
	if runtime.GOARCH == "arm64" {
		return "linux/amd64", elf.EM_X86_64
	}
	return "linux/arm64", elf.EM_AARCH64
}

func TestWhatAPlatformLacksForCIsNamedPrecisely(t *testing.T) {
	for name, c := range map[string]struct {
		platform, cc string
		have         compiler
		says, not    string
	}{
		"nothing":                         {"linux/arm64", "aarch64-linux-gnu-gcc", compiler{true, true}, "", "x"},
		"a compiler":                      {"linux/arm64", "aarch64-linux-gnu-gcc", compiler{}, "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "libc.a"},
		"a static C library":              {"linux/arm64", "aarch64-linux-gnu-gcc", compiler{program: true}, "apt-get install libc6-dev-arm64-cross", "gcc-aarch64-linux-gnu "},
		"a compiler Debian names anew":    {"linux/ppc64le", "powerpc64le-linux-gnu-gcc", compiler{}, "apt-get install gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross", "libc.a"},
		"a compiler for this very kind":   {"linux/amd64", "x86_64-linux-gnu-gcc", compiler{}, "apt-get install gcc-x86-64-linux-gnu libc6-dev-amd64-cross", "x86_64-linux-gnu libc6"},
		"a C library of a named platform": {"linux/ppc64le", "powerpc64le-linux-gnu-gcc", compiler{program: true}, "libc6-dev-ppc64el-cross", "gcc-powerpc"},
	} {
		got := lackOfC(c.platform, c.cc, c.have)
		if c.says == "" && got != "" || !strings.Contains(got, c.says) || strings.Contains(got, c.not) {
			t.Errorf("%s: it says %q", name, got)
		}
	}
}

func TestEachPlatformHasItsOwnDebianPackages(t *testing.T) {
	native := runtime.GOOS + "/" + runtime.GOARCH
	other, _ := foreign()
	lock := func(platform string) string {
		return "distribution: Debian\nplatform: " + platform + "\npackages: []\n"
	}
	for name, c := range map[string]struct {
		debian string
		files  map[string]string
		found  map[string]bool
		fault  string
		lacks  string
	}{
		"one file, by name":    {"a.yaml", map[string]string{"a.yaml": lock(native)}, map[string]bool{native: true}, "", "are pinned for " + native + " only; pin them for " + other},
		"a file for each":      {"[a.yaml, b.yaml]", map[string]string{"a.yaml": lock(other), "b.yaml": lock(native)}, map[string]bool{native: true, other: true}, "", ""},
		"none":                 {"[]", nil, map[string]bool{}, "", "are pinned for no platform"},
		"two for one platform": {"[a.yaml, b.yaml]", map[string]string{"a.yaml": lock(native), "b.yaml": lock(native)}, nil, "already", ""},
		"only for others":      {"a.yaml", map[string]string{"a.yaml": lock(other)}, nil, "this machine is " + native, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := project(t, "platforms: ["+native, "platforms: ["+native+", "+other, "sourceDateEpoch", "debian: "+c.debian+"\nsourceDateEpoch")
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			def, err := LoadDefinition(file)
			if err != nil {
				t.Fatal(err)
			}
			here := &target{build: &build{def: def}, platform: native, native: true}
			lock, err := here.debianLock()
			if c.fault != "" {
				if field, ok := errors.AsType[*FieldError](err); !ok || !strings.Contains(field.Reason, c.fault) {
					t.Errorf("got %v", err)
				}
				return
			}
			there := &target{build: here.build, platform: other}
			foreign, foreignErr := there.debianLock()
			if err != nil || foreignErr != nil || (lock != nil) != c.found[native] || (foreign != nil) != c.found[other] {
				t.Errorf("%+v, %v; %+v, %v", lock, err, foreign, foreignErr)
			}
			if why := there.noDebian(); !strings.Contains(why, c.lacks) {
				t.Errorf("it says %s", why)
			}
		})
	}
}

// apt-get here has another version than the pinned one.
func TestALockedBuildTakesNoSuccessorOfADebianPackage(t *testing.T) {
	bin := t.TempDir()
	newer := strings.Repeat("2", 64)
	script := "#!/bin/sh\nfor last; do :; done\ncase $last in update) exit 0;; *=*) exit 100;; esac\n" +
		"echo \"'http://debian.test/$last.deb' ${last}_2.0_arm64.deb 10 SHA256:" + newer + "\"\n"
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	other, _ := foreign()
	for _, locked := range []bool{true, false} {
		opened, err := openCache(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		warned := false
		there := &target{platform: other, build: &build{def: &Definition{}, cache: opened, o: Options{Locked: locked, Progress: func(e Event) {
			warned = warned || e.State == StateWarning
		}}}}
		pinned := &DebianPackage{Name: "haproxy", Version: "1.0", Digest: digest.Digest("sha256:" + strings.Repeat("1", 64))}
		err = there.settleDebian(t.Context(), []*DebianPackage{pinned})
		if locked {
			gone, ok := errors.AsType[*PackageGoneError](err)
			if !ok || gone.Offered != "2.0" || !strings.Contains(err.Error(), "--update-debian") || pinned.Version != "1.0" {
				t.Errorf("locked: got %v and %+v", err, pinned)
			}
			continue
		}
		if err != nil || pinned.Version != "2.0" || !warned {
			t.Errorf("not locked: got %v and %+v, warned: %v", err, pinned, warned)
		}
	}
}

func TestPackagesOfAnotherPlatformNeedNothingOfTheMachine(t *testing.T) {
	c := cache{dir: t.TempDir()}
	if own := aptFor(runtime.GOOS+"/"+runtime.GOARCH, c); len(own.options) != 0 || own.lists != "" {
		t.Errorf("for this machine: %+v", own)
	}
	other, _ := foreign()
	a := aptFor(other, c)
	if got := a.command(t.Context(), "update").Args; !slices.Contains(got, "APT::Architecture="+debianArch(other)) || !strings.HasPrefix(a.lists, c.dir) || got[len(got)-1] != "update" {
		t.Errorf("for %s: %q", other, got)
	}
	for platform, want := range map[string]string{"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/386": "i386", "linux/ppc64le": "ppc64el", "linux/riscv64": "riscv64"} {
		if got := debianArch(platform); got != want {
			t.Errorf("%s is %s", platform, got)
		}
	}
}

func TestAnotherPlatformIsCrossCompiledIntoTheSameBundleAndItSaysWhatItLacks(t *testing.T) {
	native := runtime.GOOS + "/" + runtime.GOARCH
	other, machine := foreign()
	debian := filepath.Join(t.TempDir(), "debian.yaml")
	if err := os.WriteFile(debian, []byte("distribution: Debian\nplatform: "+native+"\npackages: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	def := project(t, "platforms: ["+native, "platforms: ["+native+", "+other,
		"sourceDateEpoch", "debian: debian.yaml\nsourceDateEpoch",
		"images:\n", "- name: packaged\n  debian: []\n  programs: {x: libc}\nimages:\n- {name: \"registry.test/libc:v1\", component: libc, version: v1, base: packaged, layer: {texts: {a: b}}}\n",
		"files:\n", "- name: cpart\n  version: v1.0.0\n  module: .\n  own: true\n  cgo: true\n  sysroot: true\n  programs:\n  - {name: libc, package: ./libc, file: Binary}\nfiles:\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(def), "debian.yaml"), read(t, debian), 0o644); err != nil {
		t.Fatal(err)
	}
	// A program with cgo that needs no C compiler, so that the test does not either.
	if err := os.MkdirAll(filepath.Join(filepath.Dir(def), "libc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(def), "libc", "main.go"), []byte(pauseGo), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(filepath.Dir(def), "src", "pkgconfig"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(def), "src", "pkgconfig", "main.go"), []byte(pauseGo), 0o644); err != nil {
		t.Fatal(err)
	}
	result, err := Build(context.Background(), Options{Definition: def, Output: filepath.Join(t.TempDir(), "x.bundle"), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var lacks []string
	for _, l := range result.Lacks {
		if l.Platform != other || l.Why == "" {
			t.Errorf("%+v", l)
		}
		lacks = append(lacks, l.What)
	}
	if !slices.Equal(lacks, []string{"cpart", "image registry.test/libc:v1"}) {
		t.Errorf("it says that it lacks %q", lacks)
	}
	b, err := bundle.Open(result.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	r := &b.Config().Releases[0]
	f, err := r.File("kubeadm", other)
	if err != nil {
		t.Fatal(err)
	}
	content, err := b.Blob(f.Digest)
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.NewFile(content)
	if err != nil || program.Machine != machine {
		t.Errorf("the program is for %v, %v", program, err)
	}
	var missing *bundle.PlatformNotFoundError
	if _, err := r.File("libc", other); !errors.As(err, &missing) || !slices.Equal(missing.Available, []string{native}) {
		t.Errorf("what is lacking: %v", err)
	}
	if got := r.Lacks(other); !slices.Equal(got, []string{"file libc", "image registry.test/libc:v1"}) {
		t.Errorf("the bundle says that %s lacks %q", other, got)
	}
	img, err := r.Image("pause")
	if err != nil || len(img.Platforms) != 2 {
		t.Errorf("the image is for %+v, %v", img, err)
	}
}

func TestABuildSaysWhatWentIn(t *testing.T) {
	result, err := Build(context.Background(), Options{Definition: project(t), Output: filepath.Join(t.TempDir(), "x.bundle"), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(result.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	said := map[string]string{}
	for _, r := range b.Referrers() {
		raw, err := b.Attached(r)
		if err != nil {
			t.Fatal(err)
		}
		said[r.Type] = string(raw)
	}
	for kind, wants := range map[string][]string{
		bundle.TypeSBOM:       {`"SPDX-2.3"`, `"kubeadm"`, `"hold"`, `"example.test/own"`, `"stdlib"`, b.Digest().Encoded()},
		bundle.TypeProvenance: {b.Digest().Encoded(), `"def.yaml"`, `"go.mod"`, `"sourceDateEpoch":1700000000`, "slsa.dev/provenance/v1"},
	} {
		for _, want := range wants {
			if !strings.Contains(said[kind], want) {
				t.Errorf("%s: %s is missing in %s", kind, want, said[kind])
			}
		}
	}
}

func TestABuildFailsClearly(t *testing.T) {
	t.Run("when kubeadm wants an image that is not made", func(t *testing.T) {
		_, err := Build(context.Background(), Options{
			Definition: project(t, "main.version: v9", "main.version: v8"), Output: filepath.Join(t.TempDir(), "x"), CacheDir: t.TempDir(),
		})
		var mismatch *ImageMismatchError
		if !errors.As(err, &mismatch) || !slices.Equal(mismatch.Missing, []string{"registry.test/pause:v8"}) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("when a program does not compile", func(t *testing.T) {
		def := project(t)
		if err := os.WriteFile(filepath.Join(filepath.Dir(def), "pause", "main.go"), []byte("package main\n\nfunc main() { nonsense }\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		_, err := Build(context.Background(), Options{Definition: def, Output: filepath.Join(out, "x"), CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "component own") || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("got %v", err)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	t.Run("when the output's directory is missing, before anything is built", func(t *testing.T) {
		_, err := Build(context.Background(), Options{Definition: project(t), Output: filepath.Join(t.TempDir(), "no", "x"), CacheDir: t.TempDir(),
			Progress: func(e Event) { t.Errorf("it started: %+v", e) }})
		if err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAWrongDefinitionNamesTheField(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		says     string
	}{
		"an unknown field":             {"name: small", "title: small", `unknown field "title"`},
		"no name":                      {"name: small", `name: ""`, "name: it is missing"},
		"a version without a v":        {"v1.36.3", "1.36.3", "kubernetesVersion"},
		"no toolchain":                 {"\ngo: ", "\ngo: x", "go: "},
		"no fixed time":                {"1700000000", "0", "sourceDateEpoch"},
		"a module that is not there":   {"module: .", "module: other", "components[0].module"},
		"two programs of one name":     {"name: hold", "name: kubeadm", "components[0].programs[1].name"},
		"a package that is a flag":     {"package: ./pause", "package: -toolexec=x", "components[0].programs[1].package"},
		"a file that is not there":     {"path: ns.yaml", "path: other.yaml", "files[0].path"},
		"an unknown base":              {"base: base", "base: bass", "images[0].base"},
		"an unknown program":           {"{pause: hold}", "{pause: holt}", "images[0].layer.programs"},
		"a layer path that climbs out": {"{pause: hold}", "{../pause: hold}", "images[0].layer.programs"},
		"Debian files without pins":    {"directories: [tmp]", "debian: [usr/sbin/nft]", "images[0].layer.debian"},
		"another platform":             {"[" + runtime.GOOS, "[plan9", "platforms"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(context.Background(), Options{Definition: project(t, c.from, c.to), Output: filepath.Join(t.TempDir(), "x"), CacheDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "def.yaml") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheDefinitionsInTheRepositoryAreWellFormed(t *testing.T) {
	files, err := filepath.Glob("../../../artifacts/kubernetes-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	released, err := filepath.Glob("../../../artifacts/release-*.yaml")
	if err != nil || len(released) == 0 {
		t.Fatalf("%v, %v", released, err)
	}
	for _, f := range append(files, released...) {
		def, err := LoadDefinition(f)
		if err != nil {
			t.Error(err)
			continue
		}
		platforms := map[string]bool{}
		for _, name := range def.Debian {
			lock, err := loadDebianLock(filepath.Join(def.dir, name))
			if err != nil || platforms[lock.Platform] {
				t.Errorf("%s: %+v, %v", name, lock, err)
				continue
			}
			platforms[lock.Platform] = true
		}
		for i := range def.Components {
			if c := &def.Components[i]; len(c.Stamp) > 0 {
				if _, err := (&build{def: def}).moduleCommit(c); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestTheCacheIsFilledOnceAndOnlyWithWhatSucceeded(t *testing.T) {
	c, err := openCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	boom := errors.New("boom")
	if _, _, err := c.get(ctx, "k", "1", func(string) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	var mu sync.Mutex
	fills := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, _, err := c.get(ctx, "k", "1", func(tmp string) error {
				mu.Lock()
				defer mu.Unlock()
				fills++
				return os.WriteFile(filepath.Join(tmp, "f"), []byte("x"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fills != 1 {
		t.Errorf("filled %d times", fills)
	}
	if left, err := filepath.Glob(filepath.Join(c.dir, "k", ".new-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWaitingForAnotherBuildCanBeCancelled(t *testing.T) {
	c, err := openCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := c.lock(context.Background(), "k-1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := c.get(ctx, "k", "1", func(string) error { t.Error("it was filled"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestAptsOffersAreReadAndMissingOnesNoticed(t *testing.T) {
	const hex = "5fb305f3aeb293e2b78a4cfcb58c0f42179703c371a408d002c8454661e6b7b2"
	out := "'http://mirror.test/pool/libcap2_2.66-4%2bb1_amd64.deb' libcap2_1%3a2.66-4+b1_amd64.deb 26632 SHA256:" + hex + "\n" +
		"'http://mirror.test/pool/nftables_1.0.6-2_amd64.deb' nftables_1.0.6-2_amd64.deb 70292 SHA256:" + hex + "\n"
	got, err := parseOffers([]string{"nftables", "libcap2=1:2.66-4+b1"}, out)
	if err != nil {
		t.Fatal(err)
	}
	want := []DebianPackage{{"nftables", "1.0.6-2", "sha256:" + hex}, {"libcap2", "1:2.66-4+b1", "sha256:" + hex}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for name, bad := range map[string]string{
		"nothing":       "",
		"another":       strings.ReplaceAll(out, "nftables_", "other_"),
		"a weaker hash": strings.ReplaceAll(out, "SHA256:"+hex, "MD5Sum:00"),
	} {
		if _, err := parseOffers([]string{"nftables"}, bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// machine is a target like this machine.
func machine() *target {
	return &target{build: &build{def: &Definition{}}, platform: runtime.GOOS + "/" + runtime.GOARCH, native: true}
}

func TestAProgramBringsItsLibrariesAndTheLinksToThem(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("this machine has no /bin/sh to take apart")
	}
	real := closure{root: "/", triple: machine().triple(), found: map[string]bool{}}
	if err := real.addNeeded(strings.TrimPrefix(shell, "/")); err != nil || len(real.found) < 2 {
		t.Skipf("this machine's shell is no dynamic program: %v", err)
	}
	root := t.TempDir()
	put := func(from, to string) {
		t.Helper()
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, to), raw, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(shell, "usr/bin/dash")
	if err := os.Symlink("dash", filepath.Join(root, "usr/bin/sh")); err != nil {
		t.Fatal(err)
	}
	c := closure{root: root, triple: machine().triple(), found: map[string]bool{}}
	if err := c.addPattern("usr/bin/sh"); err == nil {
		t.Fatal("a program without its libraries was accepted")
	}
	for name := range real.found {
		put("/"+name, name)
	}
	c = closure{root: root, triple: machine().triple(), found: map[string]bool{}}
	if err := c.addPattern("usr/bin/s?"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"usr/bin/sh", "usr/bin/dash"} {
		if !c.found[want] {
			t.Errorf("%s is missing in %v", want, c.found)
		}
	}
	if len(c.found) < 4 {
		t.Errorf("loader and library are missing in %v", c.found)
	}
	if err := c.addPattern("usr/bin/nothing*"); err == nil {
		t.Error("a pattern that fits nothing was accepted")
	}
}

func TestToolsBecomeFilesWithTheirLibrariesAndOneLoader(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("this machine has no /bin/sh to take apart")
	}
	// The machine's own root stands in for the unpacked packages.
	b := machine()
	b.debian = &debianRoot{dir: "/"}
	blobs := map[digest.Digest]bundle.Blob{}
	files, err := b.makeTools(Tools{Component: "shell", Version: "v1", Paths: []string{strings.TrimPrefix(shell, "/")}}, blobs)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, f := range files {
		names[f.Name]++
		if blobs[f.Digest].Size != f.Size || f.Mode != 0o755 || f.Component != "shell" {
			t.Errorf("file %+v", f)
		}
	}
	if len(files) < 3 {
		t.Skipf("this machine's shell is no dynamic program: %v", names)
	}
	if names[filepath.Base(shell)] != 1 || names[loaderName] != 1 || names["libc.so.6"] != 1 {
		t.Errorf("files are %v", names)
	}
}
