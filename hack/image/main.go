// Command image puts programs into a container image and writes it as one file, which `ctr images import` and `docker load` read and
// registry tools push. It needs no container engine, and the same programs always make the same image.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody is the user of distroless images; the chart runs the manager as it.
const nobody = "65532:65532"

func main() {
	reference := flag.String("name", "", "name and tag of the image")
	arch := flag.String("arch", "amd64", "architecture the programs were built for")
	output := flag.String("o", "", "file to write")
	flag.Parse()
	if err := run(os.Stdout, *reference, *arch, *output, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, reference, arch, output string, programs []string) error {
	if output == "" || len(programs) == 0 {
		return fmt.Errorf("usage: image -name NAME:TAG -o FILE PROGRAM...; the first program is what the image runs")
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("read -name: %w", err)
	}
	image, err := build(arch, programs)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(output, tag, image); err != nil {
		return fmt.Errorf("write %s: %w", output, err)
	}
	_, err = fmt.Fprintln(out, output)
	return err
}

func build(arch string, programs []string) (v1.Image, error) {
	content, err := layer(programs)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(content, types.DockerLayer))
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", arch
	file.Config = v1.Config{Entrypoint: []string{"/" + filepath.Base(programs[0])}, User: nobody, Env: []string{"PATH=/"}}
	return mutate.ConfigFile(image, file)
}

// layer holds the programs in the root directory, and nothing that depends on when or where it is made.
func layer(programs []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, path := range programs {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a program: %w", err)
		}
		header := &tar.Header{Name: filepath.Base(path), Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("add %s: %w", path, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("add %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end the layer: %w", err)
	}
	return out.Bytes(), nil
}
