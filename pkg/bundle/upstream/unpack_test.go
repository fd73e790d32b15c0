package upstream

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// entry is one entry of an archive.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o6755}, content}
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOnlyWhatIsWantedOfAnArchiveIsUnpacked(t *testing.T) {
	whole := archive(t, file("../../../evil", "no"), file("./bin/other", "no"), file("./bin/tool", "the tool"), file("/usr/lib/x", "x"))
	for name, c := range map[string]struct {
		archive []byte
		members map[string]string
		says    string
	}{
		"what is there":                      {whole, map[string]string{"bin/tool": "tool", "usr/lib/x": "lib"}, ""},
		"what is not there":                  {whole, map[string]string{"bin/toll": "tool"}, "there is no bin/toll"},
		"a link":                             {archive(t, entry{tar.Header{Name: "bin/tool", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""}), map[string]string{"bin/tool": "tool"}, "no regular file"},
		"a directory":                        {archive(t, entry{tar.Header{Name: "bin/tool/", Typeflag: tar.TypeDir}, ""}), map[string]string{"bin/tool": "tool"}, "no regular file"},
		"a path that is there twice":         {archive(t, file("bin/tool", "the tool"), file("bin/tool", "another")), map[string]string{"bin/tool": "tool"}, ""},
		"an archive that is cut off":         {whole[:len(whole)/2], map[string]string{"usr/lib/x": "lib"}, "cut off"},
		"what is packed with something else": {[]byte("PK\x03\x04 and more"), map[string]string{"bin/tool": "tool"}, "not packed with gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "a.tgz")
			if err := os.WriteFile(from, c.archive, 0o600); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			err := Unpack(t.Context(), from, c.members, dir)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "tool"))
			if err != nil || string(raw) != "the tool" {
				t.Errorf("tool holds %q, %v", raw, err)
			}
			if st, err := os.Stat(filepath.Join(dir, "tool")); err != nil || st.Mode() != 0o755 {
				t.Errorf("its mode is %v, %v", st.Mode(), err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != len(c.members) {
				t.Errorf("unpacked are %v, %v", left, err)
			}
		})
	}
}
