package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestACopyIsTheSameWhereverTheOneBeforeItBrokeOff(t *testing.T) {
	source, _ := writeFixture(t)
	want := readFile(t, source)
	for cut := 0; cut <= len(want); cut += 500 {
		path := filepath.Join(t.TempDir(), "copy.bundle")
		if err := os.WriteFile(path+partialSuffix, want[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Copy(context.Background(), path, source, CopyOptions{}); err != nil {
			t.Fatalf("after %d bytes: %v", cut, err)
		}
		if !bytes.Equal(readFile(t, path), want) {
			t.Fatalf("after %d bytes the copy is another one", cut)
		}
		if _, err := os.Stat(path + partialSuffix); err == nil {
			t.Fatal("the partial file is still there")
		}
	}
}

func TestAContinuedCopyReadsFromTheSourceOnlyTheRest(t *testing.T) {
	source, _ := writeFixture(t)
	want := readFile(t, source)
	path := filepath.Join(t.TempDir(), "copy.bundle")
	const have = 20000
	if err := os.WriteFile(path+partialSuffix, want[:have], 0o644); err != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	if err := Copy(context.Background(), path, source, CopyOptions{Progress: func(done, total int64) {
		if first < 0 {
			first = done
		}
		if total != int64(len(want)) {
			t.Errorf("total is %d", total)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if first <= 0 {
		t.Error("it began anew")
	}
}

func TestAPartialFileOfSomethingElseIsWrittenOver(t *testing.T) {
	source, _ := writeFixture(t)
	other := variant(t, "other", newer("v1.37.0"))
	for name, before := range map[string][]byte{
		"of another bundle": readFile(t, other.Path()),
		"of nonsense":       bytes.Repeat([]byte("nonsense"), 10000),
		"with a flaw":       flip(readFile(t, source), 9000),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "copy.bundle")
			if err := os.WriteFile(path+partialSuffix, before, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Copy(context.Background(), path, source, CopyOptions{}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readFile(t, path), readFile(t, source)) {
				t.Error("the copy is another one")
			}
		})
	}
}

func TestADamagedSourceIsNotCopied(t *testing.T) {
	good, _ := writeFixture(t)
	content := readFile(t, good)
	for name, c := range map[string]struct {
		raw  []byte
		want func(error) bool
	}{
		"a flipped byte in a blob":  {replacedRaw(t, content, "etcd program", "etcd PROGRAM"), as[*DigestMismatchError]},
		"a flipped byte in a name":  {flip(content, 40), as[*MalformedError]},
		"a flipped byte in the end": {flip(content, len(content)-1), as[*MalformedError]},
		"cut off":                   {content[:len(content)-5000], as[*TruncatedError]},
		"something behind it":       {append(bytes.Clone(content), 0), as[*MalformedError]},
		"another index":             {replacedRaw(t, content, `"org.opencontainers.image.ref.name":"registry.k8s.io/etcd`, `"org.opencontainers.image.ref.name":"registry.k8s.io/evil`), as[*MalformedError]},
	} {
		t.Run(name, func(t *testing.T) {
			source, path := filepath.Join(t.TempDir(), "source"), filepath.Join(t.TempDir(), "copy")
			if err := os.WriteFile(source, c.raw, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Copy(context.Background(), path, source, CopyOptions{}); !c.want(err) || !strings.Contains(err.Error(), source) && !strings.Contains(err.Error(), path) {
				t.Errorf("got %T: %v", err, err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the copy is there")
			}
			// Once the source is right, the copy is continued.
			if err := os.WriteFile(source, content, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Copy(context.Background(), path, source, CopyOptions{}); err != nil || !bytes.Equal(readFile(t, path), content) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func replacedRaw(t testing.TB, content []byte, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(content, []byte(from)) || len(from) != len(to) {
		t.Fatalf("%q is not there, or %q is of another length", from, to)
	}
	return bytes.Replace(content, []byte(from), []byte(to), 1)
}

func TestACancelledCopyStopsAndIsContinued(t *testing.T) {
	source, _ := writeFixture(t)
	path := filepath.Join(t.TempDir(), "copy.bundle")
	ctx, cancel := context.WithCancel(context.Background())
	err := Copy(ctx, path, source, CopyOptions{Progress: func(done, _ int64) {
		if done > 5000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if st, err := os.Stat(path + partialSuffix); err != nil || st.Size() == 0 {
		t.Errorf("nothing is left to go on from: %v", err)
	}
	if err := Copy(context.Background(), path, source, CopyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestADeltaIsCopiedToo(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	path := filepath.Join(t.TempDir(), "copy.delta")
	if err := Copy(context.Background(), path, deltaOf(t, a, b), CopyOptions{}); err != nil {
		t.Error(err)
	}
}

// split cuts the fixture into parts and returns the list of them and the fixture's bytes.
func split(t testing.TB, size int64) (string, []byte) {
	t.Helper()
	source, _ := writeFixture(t)
	list, err := Split(context.Background(), source, t.TempDir(), size)
	if err != nil {
		t.Fatal(err)
	}
	return list, readFile(t, source)
}

func TestPartsMakeTheBundleAgainWhateverTheirSize(t *testing.T) {
	for _, size := range []int64{100, 511, 512, 4096, 10007, 1 << 20} {
		list, want := split(t, size)
		path := filepath.Join(t.TempDir(), "joined")
		if err := Join(context.Background(), path, list, CopyOptions{}); err != nil {
			t.Fatalf("parts of %d bytes: %v", size, err)
		}
		if !bytes.Equal(readFile(t, path), want) {
			t.Errorf("parts of %d bytes give another bundle", size)
		}
	}
}

func TestPartsMayComeOneAfterAnother(t *testing.T) {
	list, want := split(t, 6000)
	all, err := filepath.Glob(filepath.Join(filepath.Dir(list), "*.bundle.[0-9]*"))
	if err != nil || len(all) < 3 {
		t.Fatalf("parts: %v, %v", all, err)
	}
	slices.Sort(all)
	away := t.TempDir()
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		move(p, filepath.Join(away, filepath.Base(p)))
	}
	path := filepath.Join(t.TempDir(), "joined")
	for i, p := range all {
		err := Join(context.Background(), path, list, CopyOptions{})
		missing, ok := errors.AsType[*MissingPartError](err)
		if !ok || missing.Number != i+1 || missing.Count != len(all) || missing.Path != p || !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("before part %d: %v", i+1, err)
		}
		move(filepath.Join(away, filepath.Base(p)), p)
	}
	if err := Join(context.Background(), path, list, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, path), want) {
		t.Error("the bundle is another one")
	}
}

func TestABeginningOfAnotherBundleIsFoundOutAlsoWhenTheFirstPartIsGone(t *testing.T) {
	list, want := split(t, 6000)
	first := strings.TrimSuffix(list, PartsSuffix) + ".001"
	part := readFile(t, first)
	other := readFile(t, variant(t, "other", newer("v1.37.0")).Path())
	path := filepath.Join(t.TempDir(), "joined")
	if err := os.WriteFile(path+partialSuffix, other, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if err := Join(context.Background(), path, list, CopyOptions{}); err == nil {
		t.Fatal("it was taken for the beginning of this one")
	}
	if err := os.WriteFile(first, part, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Join(context.Background(), path, list, CopyOptions{}); err != nil || !bytes.Equal(readFile(t, path), want) {
		t.Errorf("with all parts: %v", err)
	}
}

func TestADamagedPartIsNamedAndReplaced(t *testing.T) {
	list, want := split(t, 6000)
	name := strings.TrimSuffix(list, PartsSuffix) + ".002"
	good := readFile(t, name)
	path := filepath.Join(t.TempDir(), "joined")
	for what, bad := range map[string][]byte{"altered": flip(good, 3000), "cut off": good[:len(good)-1], "longer": append(bytes.Clone(good), 0)} {
		if err := os.WriteFile(name, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		err := Join(context.Background(), path, list, CopyOptions{})
		damaged, isDamaged := errors.AsType[*DamagedPartError](err)
		missing, isMissing := errors.AsType[*MissingPartError](err)
		if !isDamaged && !isMissing || isDamaged && !slices.Contains(damaged.Parts, name) || isMissing && missing.Path != name {
			t.Errorf("%s: %v", what, err)
		}
		if isDamaged && len(damaged.Parts) == 3 && what == "altered" {
			t.Errorf("all parts are blamed: %v", err)
		}
	}
	if err := os.WriteFile(name, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Join(context.Background(), path, list, CopyOptions{}); err != nil || !bytes.Equal(readFile(t, path), want) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSplittingAgainLeavesRightPartsAlone(t *testing.T) {
	source, _ := writeFixture(t)
	dir := t.TempDir()
	list, err := Split(context.Background(), source, dir, 6000)
	if err != nil {
		t.Fatal(err)
	}
	first, second := strings.TrimSuffix(list, PartsSuffix)+".001", strings.TrimSuffix(list, PartsSuffix)+".002"
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Split(context.Background(), source, dir, 6000); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(first); err != nil || !os.SameFile(before, after) {
		t.Errorf("a right part was written again: %v", err)
	}
	if err := Join(context.Background(), filepath.Join(dir, "joined"), list, CopyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAListOfPartsIsNotBelieved(t *testing.T) {
	list, _ := split(t, 6000)
	good := readFile(t, list)
	for name, change := range map[string]func(*Parts){
		"no parts":                func(p *Parts) { p.Parts = nil },
		"a part elsewhere":        func(p *Parts) { p.Parts[0].Name = "../../etc/passwd" },
		"a part that is above":    func(p *Parts) { p.Parts[0].Name = ".." },
		"an empty part":           func(p *Parts) { p.Parts[0].Size = 0 },
		"a negative part":         func(p *Parts) { p.Parts[0].Size = -1 },
		"sizes that do not add":   func(p *Parts) { p.Size++ },
		"more parts than allowed": func(p *Parts) { p.Parts = make([]Part, maxParts+1) },
	} {
		t.Run(name, func(t *testing.T) {
			var parts Parts
			if err := json.Unmarshal(good, &parts); err != nil {
				t.Fatal(err)
			}
			change(&parts)
			raw, err := json.Marshal(parts)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(list, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "joined")
			if err := Join(context.Background(), path, list, CopyOptions{}); err == nil || !strings.Contains(err.Error(), list) {
				t.Errorf("got %v", err)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestAPartialFileThatHasBecomeABundleMeanwhileIsNotWrittenTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.bundle")
	f, err := os.OpenFile(path+partialSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing is written
	if err := holdPartial(f); err != nil {
		t.Errorf("a partial file that is one still: %v", err)
	}
	if err := os.Rename(path+partialSuffix, path); err != nil {
		t.Fatal(err)
	}
	if err := holdPartial(f); err == nil {
		t.Error("it would be written to after it got its name")
	}
	if err := os.WriteFile(path+partialSuffix, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := holdPartial(f); err == nil {
		t.Error("it would be written to when another partial file has its old name")
	}
}
