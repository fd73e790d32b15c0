package builder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
)

// Definition says what goes into a bundle. It is read from strict YAML; paths are relative to the file.
type Definition struct {
	// Name becomes the bundle's name.
	Name string `json:"name"`
	// KubernetesVersion has the form v1.36.3.
	KubernetesVersion string `json:"kubernetesVersion"`
	// Platforms to build for; that of the machine that builds must be among them. Others get what can be compiled for them.
	Platforms []string `json:"platforms"`
	// Go is the exact toolchain, e.g. 1.26.8; the go command fetches it when it is another one itself. Needed for components.
	Go string `json:"go,omitempty"`
	// SourceDateEpoch is the time (seconds since 1970) to record in the bundle and in programs that want one. The
	// environment variable SOURCE_DATE_EPOCH wins over it.
	SourceDateEpoch int64 `json:"sourceDateEpoch"`
	// Debian are the files with the pinned Debian packages, one for each platform that is to have any.
	Debian Files `json:"debian,omitempty"`
	// Components are compiled.
	Components []Component `json:"components,omitempty"`
	// Downloads are taken as their projects publish them.
	Downloads []Download `json:"downloads,omitempty"`
	// Mirrors say where downloads and images to pull are to be had instead.
	Mirrors upstream.Mirrors `json:"mirrors,omitempty"`
	// Files are taken as they are, manifests but for the version in them.
	Files []File `json:"files,omitempty"`
	// Tools are programs out of Debian packages that run on hosts as they are.
	Tools []Tools `json:"tools,omitempty"`
	// Layers can be shared by images.
	Layers []NamedLayer `json:"layers,omitempty"`
	// Images are put together from the programs and layers, or pulled.
	Images []Image `json:"images"`

	dir string
}

// Files are names of files. One alone needs no list.
type Files []string

// UnmarshalJSON reads a list of names, or one name.
func (f *Files) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*f = Files{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(f))
}

// Component is one Go module's worth of programs, compiled with one command.
type Component struct {
	// Name is unique.
	Name string `json:"name"`
	// Version is recorded with everything made from it; except for Own, it must be that of the programs' modules.
	Version string `json:"version"`
	// Module is the directory of the go.mod that pins it.
	Module string `json:"module"`
	// Own marks this project's own code: always handed to the go command, never kept in our cache.
	Own bool `json:"own,omitempty"`
	// Cgo compiles with a C compiler and links statically.
	Cgo bool `json:"cgo,omitempty"`
	// Sysroot lets pkg-config and the C compiler find the Debian packages.
	Sysroot bool `json:"sysroot,omitempty"`
	// Tags are build tags.
	Tags []string `json:"tags,omitempty"`
	// Variables are Go string variables to set when linking, by full name.
	Variables map[string]string `json:"variables,omitempty"`
	// Stamp are packages with Kubernetes' version variables (gitVersion, gitMajor ...) to set when linking.
	Stamp []string `json:"stamp,omitempty"`
	// Programs are what to compile.
	Programs []Program `json:"programs"`
}

// Program is one main package.
type Program struct {
	// Name is the program's file name, unique in the definition.
	Name string `json:"name"`
	// Package is the main package's import path.
	Package string `json:"package"`
	// File, when set, puts the program into the bundle as a file of this kind.
	File bundle.FileKind `json:"file,omitempty"`
}

// File is a file beside the definition.
type File struct {
	Name      string          `json:"name"`
	Path      string          `json:"path"`
	Kind      bundle.FileKind `json:"kind"`
	Component string          `json:"component"`
	Version   string          `json:"version"`
}

// content is what goes into the bundle. In a manifest {version} stands for the version, so that several versions of a component can share it.
func (f *File) content(raw []byte) []byte {
	if f.Kind != bundle.FileManifest {
		return raw
	}
	return bytes.ReplaceAll(raw, []byte("{version}"), []byte(f.Version))
}

// Tools are programs of Debian packages for hosts of any distribution: they become files of the bundle together with every library
// they need and their loader, which is named ld.so. Started through that loader they use nothing of the host.
type Tools struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	// Paths are the programs' paths in the packages, without a leading slash.
	Paths []string `json:"paths"`
}

// Layer is what an image layer holds. Paths have no leading slash; directories are made as needed.
type Layer struct {
	// Programs are programs of the components, by path.
	Programs map[string]string `json:"programs,omitempty"`
	// Debian are files of the Debian packages (shell patterns), with the libraries they need.
	Debian []string `json:"debian,omitempty"`
	// Links are symbolic links: path to target.
	Links map[string]string `json:"links,omitempty"`
	// Texts are small files: path to content.
	Texts map[string]string `json:"texts,omitempty"`
	// Directories are empty directories, mode 0755; one named tmp gets 1777.
	Directories []string `json:"directories,omitempty"`
}

// NamedLayer is a layer several images can stand on.
type NamedLayer struct {
	Name  string `json:"name"`
	Layer `json:",inline"`
}

// Image is one image.
type Image struct {
	// Name is the full reference.
	Name      string `json:"name"`
	Component string `json:"component"`
	Version   string `json:"version"`
	// Pull takes the image as it is; then nothing below is said.
	Pull *Pull `json:"pull,omitempty"`
	// Base is the name of a layer to stand on.
	Base string `json:"base,omitempty"`
	// Layer is the image's own layer.
	Layer Layer `json:"layer"`
	// Entrypoint, Cmd, Env, User and WorkingDir go into the image configuration.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
}

// FieldError says which field of a definition file is wrong.
type FieldError struct {
	// File is the definition file, Field the path of the field, Reason what is wrong.
	File, Field, Reason string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.File, e.Field, e.Reason)
}

// LoadDefinition reads and checks a definition file.
func LoadDefinition(file string) (*Definition, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read bundle definition: %w", err)
	}
	d := &Definition{}
	if err := yaml.UnmarshalStrict(raw, d); err != nil {
		return nil, fmt.Errorf("bundle definition %s: %w", file, err)
	}
	if d.dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, err
	}
	if field, reason := d.fault(); field != "" {
		return nil, &FieldError{File: file, Field: field, Reason: reason}
	}
	return d, nil
}

// fault returns the first wrong field and why, or "".
func (d *Definition) fault() (field, reason string) {
	version := regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)
	switch {
	case d.Name == "":
		return "name", "it is missing"
	case !version.MatchString(d.KubernetesVersion):
		return "kubernetesVersion", fmt.Sprintf("%q has not the form v1.36.3", d.KubernetesVersion)
	case len(d.Platforms) == 0:
		return "platforms", "at least one is needed, e.g. linux/amd64"
	case len(d.Components) > 0 && !regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`).MatchString(d.Go):
		return "go", fmt.Sprintf("%q is not a toolchain version such as 1.26.8", d.Go)
	case d.SourceDateEpoch <= 0:
		return "sourceDateEpoch", "a fixed time is needed, in seconds since 1970"
	}
	programs := map[string]bool{}
	components := map[string]bool{}
	for i, c := range d.Components {
		if field, reason := c.fault(d.dir, components, programs); field != "" {
			return fmt.Sprintf("components[%d].%s", i, field), reason
		}
		if c.Sysroot && len(d.Debian) == 0 {
			return fmt.Sprintf("components[%d].sysroot", i), "the definition names no file with Debian packages"
		}
	}
	names := maps.Clone(programs)
	for i := range d.Downloads {
		if field, reason := d.Downloads[i].fault(d.dir, d.Platforms, names); field != "" {
			return fmt.Sprintf("downloads[%d].%s", i, field), reason
		}
	}
	if err := d.Mirrors.Validate(); err != nil {
		return "mirrors", err.Error()
	}
	for i, f := range d.Files {
		at := fmt.Sprintf("files[%d].", i)
		if f.Name == "" || f.Component == "" || f.Version == "" {
			return at + "name", "name, component and version are needed"
		}
		if f.Kind == "" {
			return at + "kind", "it is missing"
		}
		if _, err := os.Stat(filepath.Join(d.dir, f.Path)); err != nil {
			return at + "path", err.Error()
		}
	}
	for i, t := range d.Tools {
		at := fmt.Sprintf("tools[%d].", i)
		if t.Component == "" || t.Version == "" {
			return at + "component", "component and version are needed"
		}
		if len(d.Debian) == 0 {
			return at + "paths", "the definition names no file with Debian packages"
		}
		for _, p := range t.Paths {
			if !plainPath(p) {
				return at + "paths", fmt.Sprintf("%q is not a plain relative path", p)
			}
		}
	}
	layers := map[string]bool{}
	for i, l := range d.Layers {
		at := fmt.Sprintf("layers[%d].", i)
		if l.Name == "" || layers[l.Name] {
			return at + "name", fmt.Sprintf("%q is empty or used twice", l.Name)
		}
		layers[l.Name] = true
		if field, reason := l.fault(programs, len(d.Debian) > 0); field != "" {
			return at + field, reason
		}
	}
	for i, img := range d.Images {
		at := fmt.Sprintf("images[%d].", i)
		if img.Name == "" || img.Component == "" || img.Version == "" {
			return at + "name", "name, component and version are needed"
		}
		if img.Pull != nil {
			if field, reason := img.pullFault(); field != "" {
				return at + field, reason
			}
			continue
		}
		if img.Base != "" && !layers[img.Base] {
			return at + "base", fmt.Sprintf("there is no layer named %q", img.Base)
		}
		if field, reason := img.Layer.fault(programs, len(d.Debian) > 0); field != "" {
			return at + "layer." + field, reason
		}
	}
	return "", ""
}

func (c *Component) fault(dir string, components, programs map[string]bool) (field, reason string) {
	if c.Name == "" || components[c.Name] {
		return "name", fmt.Sprintf("%q is empty or used twice", c.Name)
	}
	components[c.Name] = true
	if c.Version == "" {
		return "version", "it is missing"
	}
	if _, err := os.Stat(filepath.Join(dir, c.Module, "go.mod")); err != nil {
		return "module", fmt.Sprintf("no go.mod there: %v", err)
	}
	if len(c.Programs) == 0 {
		return "programs", "at least one is needed"
	}
	for i, p := range c.Programs {
		at := fmt.Sprintf("programs[%d].", i)
		if p.Name == "" || strings.ContainsAny(p.Name, "/ ") || programs[p.Name] {
			return at + "name", fmt.Sprintf("%q is empty, no file name, or used twice", p.Name)
		}
		if p.Package == "" || strings.HasPrefix(p.Package, "-") {
			return at + "package", "an import path is needed"
		}
		programs[p.Name] = true
	}
	return "", ""
}

func (l *Layer) fault(programs map[string]bool, debian bool) (field, reason string) {
	for p, name := range l.Programs {
		if !plainPath(p) {
			return "programs", fmt.Sprintf("%q is not a plain relative path", p)
		}
		if !programs[name] {
			return "programs", fmt.Sprintf("no component makes a program named %q", name)
		}
	}
	if len(l.Debian) > 0 && !debian {
		return "debian", "the definition names no file with Debian packages"
	}
	for _, m := range []map[string]string{l.Links, l.Texts} {
		for p := range m {
			if !plainPath(p) {
				return "links or texts", fmt.Sprintf("%q is not a plain relative path", p)
			}
		}
	}
	for _, p := range append(l.Directories[:len(l.Directories):len(l.Directories)], l.Debian...) {
		if !plainPath(p) {
			return "directories or debian", fmt.Sprintf("%q is not a plain relative path", p)
		}
	}
	return "", ""
}

func plainPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !strings.HasPrefix(p, "/") && p != ".." && !strings.HasPrefix(p, "../")
}
