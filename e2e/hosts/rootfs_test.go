package hosts

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func tarOf(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, header := range headers {
		content := "content of " + header.Name
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(content))
		}
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(writer, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return &buffer
}

// listTar describes every entry as "name mode content-or-link".
func listTar(t *testing.T, in io.Reader) []string {
	t.Helper()
	var lines []string
	reader := tar.NewReader(in)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		what := string(content)
		if header.Linkname != "" {
			what = "-> " + header.Linkname
		}
		lines = append(lines, strings.TrimSpace(header.Name+" "+header.FileInfo().Mode().Perm().String()+" "+what))
	}
}

func TestCustomiseLeavesOutTheUnwantedAndReplacesItsOwnFiles(t *testing.T) {
	in := tarOf(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./etc/kept", Mode: 0o640},
		tar.Header{Typeflag: tar.TypeReg, Name: "./etc/replaced", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeDir, Name: "./usr/share/doc/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./usr/share/doc/deep/below/file", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeReg, Name: "./usr/share/document", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./etc/link", Linkname: "kept", Mode: 0o777},
	)
	r := recipe{
		Files:    map[string]file{"/etc/replaced": {Mode: 0o644, Content: "ours"}},
		Masked:   []string{"noise.timer"},
		Unwanted: []string{"/usr/share/doc/*"},
	}
	var out bytes.Buffer
	if err := customise(in, &out, r, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"./ -rwxr-xr-x",
		"./etc/kept -rw-r----- content of ./etc/kept",
		"./usr/share/doc/ -rwxr-xr-x",
		"./usr/share/document -rw-r--r-- content of ./usr/share/document",
		"./etc/link -rwxrwxrwx -> kept",
		"./etc/replaced -rw-r--r-- ours",
		"./etc/systemd/system/noise.timer -rwxrwxrwx -> /dev/null",
	}
	if diff := cmp.Diff(want, listTar(t, &out)); diff != "" {
		t.Errorf("the customised root file system (-want +got):\n%s", diff)
	}
}

func TestCustomiseRefusesATruncatedArchive(t *testing.T) {
	in := tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "./a", Mode: 0o644}, tar.Header{Typeflag: tar.TypeReg, Name: "./b", Mode: 0o644})
	in.Truncate(1024 + 516)
	if err := customise(in, io.Discard, recipe{}, time.Unix(0, 0)); err == nil {
		t.Error("a root file system that ends in the middle of a file was accepted")
	}
}

func TestTheImageTagFollowsTheRecipe(t *testing.T) {
	tag := func(change func(*recipe)) string {
		r := newRecipe("bookworm")
		change(&r)
		text, err := contentTag("bookworm", r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := tag(func(*recipe) {})
	if again := tag(func(*recipe) {}); again != same {
		t.Errorf("one recipe has two tags, %s and %s", same, again)
	}
	for name, change := range map[string]func(*recipe){
		"another package": func(r *recipe) { r.Base.Packages = append(r.Base.Packages, "more") },
		"another entry":   func(r *recipe) { r.Files[entryPath] = file{Mode: 0o755, Content: "#!/bin/sh"} },
		"another mask":    func(r *recipe) { r.Masked = nil },
		"another removal": func(r *recipe) { r.Unwanted = nil },
	} {
		if got := tag(change); got == same {
			t.Errorf("%s does not change the tag %s, so an old image would be used", name, got)
		}
	}
}
