package builder

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Lack is something the definition names that a platform does not get.
type Lack struct {
	// Platform is e.g. linux/arm64, What the component, tools or image, Why says what would be needed.
	Platform, What, Why string
}

// target is a build for one platform.
type target struct {
	*build
	platform string
	// native says that it is the platform of the machine that builds.
	native bool

	// debian is nil when there are no Debian packages for the platform; pinned are the platforms that there are any for.
	debian *debianRoot
	pinned []string
	// programs by name, filled by compile.
	programs map[string]program
	// checksums are those of downloads, filled by takeAll.
	checksums map[*Download]digest.Digest
	// taken are files out of downloads.
	taken []taken
	// sources is the bill of materials.
	sources []bundle.Component
	lacks   []Lack
}

// make compiles everything the platform can have.
func (t *target) make(ctx context.Context) error {
	if err := t.prepareDebian(ctx); err != nil {
		return err
	}
	if err := t.compileAll(ctx); err != nil {
		return err
	}
	if !t.native {
		return nil
	}
	return t.checkKubeadmImages(ctx)
}

// lack records that the platform does not get something.
func (t *target) lack(what, why string) {
	t.lacks = append(t.lacks, Lack{Platform: t.platform, What: what, Why: why})
	t.tell(Event{Component: what, State: StateWarning, Detail: fmt.Sprintf("%s does without it: %s", t.platform, why)})
}

// without says why a component cannot be built for the platform; empty means that it can.
func (t *target) without(ctx context.Context, c *Component) string {
	if c.Sysroot && t.debian == nil {
		return t.noDebian()
	}
	if !c.Cgo || t.native {
		return ""
	}
	return lackOfC(t.platform, t.cc(), compilerFor(ctx, t.cc()))
}

// compiler is what of a C compiler for a platform is there.
type compiler struct {
	// program is the compiler itself, libc the static C library.
	program, libc bool
}

// compilerFor looks for a C compiler and its static C library.
func compilerFor(ctx context.Context, cc string) compiler {
	if _, err := exec.LookPath(cc); err != nil {
		return compiler{}
	}
	_, err := compilerVersion(ctx, cc)
	return compiler{program: true, libc: err == nil}
}

// lackOfC says what is missing to compile C for a platform that is not the machine's, and how to get it; empty when nothing is.
func lackOfC(platform, cc string, have compiler) string {
	libc := "libc6-dev-" + debianArch(platform) + "-cross"
	switch {
	case !have.program:
		gcc := "gcc-" + strings.ReplaceAll(strings.TrimSuffix(cc, "-gcc"), "_", "-")
		return fmt.Sprintf("it is C in part, and there is no %s; on Debian: apt-get install %s %s", cc, gcc, libc)
	case !have.libc:
		return fmt.Sprintf("it is C in part, and %s has no static C library (libc.a); on Debian: apt-get install %s", cc, libc)
	}
	return ""
}

func (t *target) noDebian() string {
	pinned := "no platform"
	if len(t.pinned) > 0 {
		pinned = strings.Join(t.pinned, ", ") + " only"
	}
	return fmt.Sprintf("it takes files of Debian packages, which are pinned for %s; pin them for %s in another file under debian, or build there and merge the two bundles", pinned, t.platform)
}

// missing is the first of some programs that the platform does not get, or "".
func (t *target) missing(l *Layer) string {
	for _, p := range sortedKeys(l.Programs) {
		if _, ok := t.programs[l.Programs[p]]; !ok {
			return l.Programs[p]
		}
	}
	return ""
}

func (t *target) arch() string {
	_, arch, _ := strings.Cut(t.platform, "/")
	return arch
}

// cc is the C compiler for the platform.
func (t *target) cc() string {
	if t.native {
		return "gcc"
	}
	return t.triple() + "-gcc"
}

// triple is Debian's name for the platform in library paths and compilers.
func (t *target) triple() string {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "powerpc64le", "386": "i386"}
	arch := t.arch()
	if m, ok := machine[arch]; ok {
		arch = m
	}
	return arch + "-linux-gnu"
}

// orderedLacks are in one order, whatever finished first.
func orderedLacks(lacks []Lack) {
	slices.SortFunc(lacks, func(a, b Lack) int { return strings.Compare(a.Platform+" "+a.What, b.Platform+" "+b.What) })
}
