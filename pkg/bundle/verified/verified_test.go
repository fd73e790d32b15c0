package verified

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const content = "the program kubelet"

// written writes a bundle of a version, with one file in it.
func written(t *testing.T, path, version, program string) {
	t.Helper()
	d, blob := bundle.BytesBlob([]byte(program))
	cfg := &bundle.Config{Name: "small", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{
		KubernetesVersion: version, Platforms: []string{"linux/amd64"},
		Files: []bundle.File{{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: version, Platform: "linux/amd64", Digest: d, Size: blob.Size, Mode: 0o755}},
	}}}
	if _, err := bundle.Write(t.Context(), path, cfg, map[digest.Digest]bundle.Blob{d: blob}); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, path string, bases ...string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.OpenSet(path, bases...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// spoil changes one byte of the program in a bundle, and nothing else than that and the file's time.
func spoil(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("T"), int64(bytes.Index(raw, []byte(content))))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsHashedAgainAndWhatIsNot(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		change     func(t *testing.T, path, cache string)
		anew       bool
		remembered bool
		bad        bool
	}{
		"nothing happened": {remembered: true},
		"everything is asked for anew": {
			anew: true,
		},
		"it was written to": {
			change: func(t *testing.T, path, _ string) { spoil(t, path) },
			bad:    true,
		},
		"it was written to and its time set back": {
			change: func(t *testing.T, path, _ string) {
				spoil(t, path)
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			},
			bad: true,
		},
		"it was written to, its time set back, and everything is asked for anew": {
			change: func(t *testing.T, path, _ string) {
				spoil(t, path)
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			},
			anew: true, bad: true,
		},
		"its time is another": {
			change: func(t *testing.T, path, _ string) {
				if err := os.Chtimes(path, time.Time{}, old.Add(time.Nanosecond)); err != nil {
					t.Fatal(err)
				}
			},
		},
		"it is a copy with the same time": {
			change: func(t *testing.T, path, _ string) {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.WriteFile(path+".copy", raw, 0o600), os.Chtimes(path+".copy", old, old), os.Rename(path+".copy", path)); err != nil {
					t.Fatal(err)
				}
			},
		},
		"the cache is damaged": {
			change: func(t *testing.T, _, cache string) {
				if err := os.WriteFile(one(t, cache), []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		},
		"everybody could have written the record": {
			change: func(t *testing.T, _, cache string) {
				if err := os.Chmod(one(t, cache), 0o666); err != nil {
					t.Fatal(err)
				}
			},
		},
		"everybody could have put the record there": {
			change: func(t *testing.T, _, cache string) {
				if err := os.Chmod(cache, 0o777); err != nil {
					t.Fatal(err)
				}
			},
		},
		"a group may write there, as in volumes of Kubernetes": {
			change: func(t *testing.T, _, cache string) {
				if err := errors.Join(os.Chmod(cache, 0o770), os.Chmod(one(t, cache), 0o660)); err != nil {
					t.Fatal(err)
				}
			},
			remembered: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, dir := filepath.Join(t.TempDir(), "a.bundle"), filepath.Join(t.TempDir(), "deep", "cache")
			written(t, path, "v1.36.3", content)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			then := time.Unix(1800000000, 0).UTC()
			first, err := In(dir).Verify(t.Context(), opened(t, path), Options{Now: func() time.Time { return then }})
			if err != nil || first.Remembered || first.NotKept != nil || first.Bytes == 0 || !first.VerifiedAt.Equal(then) {
				t.Fatalf("the first time: %+v, %v", first, err)
			}
			if c.change != nil {
				c.change(t, path, dir)
			}
			// A restart has nothing but the directory.
			again, err := In(dir).Verify(t.Context(), opened(t, path), Options{Anew: c.anew})
			if c.bad {
				if _, ok := errors.AsType[*bundle.DigestMismatchError](err); !ok {
					t.Fatalf("the damage is not seen: %+v, %v", again, err)
				}
				// What was found wrong once is not believed any more, whatever its time.
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
				if r, err := In(dir).Verify(t.Context(), opened(t, path), Options{}); c.anew && err == nil {
					t.Errorf("after that it is %+v", r)
				}
				return
			}
			if err != nil || again.Remembered != c.remembered || again.NotKept != nil {
				t.Fatalf("the second time: %+v, %v", again, err)
			}
			if again.Digest != first.Digest || again.Blobs != first.Blobs || again.Bytes != first.Bytes || c.remembered != again.VerifiedAt.Equal(then) {
				t.Errorf("first %+v, then %+v", first, again)
			}
			if third, err := In(dir).Verify(t.Context(), opened(t, path), Options{}); err != nil || !third.Remembered && name != "everybody could have put the record there" {
				t.Errorf("the third time: %+v, %v", third, err)
			}
		})
	}
}

// one is the only file in a directory.
func one(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	return found[0]
}

func TestADeltaIsKnownAgainWithItsBaseOnly(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	base, full, delta := filepath.Join(dir, "base"), filepath.Join(dir, "full"), filepath.Join(dir, "delta")
	written(t, base, "v1.35.4", content)
	written(t, full, "v1.36.3", content)
	if err := bundle.Diff(t.Context(), delta, opened(t, base), opened(t, full)); err != nil {
		t.Fatal(err)
	}
	for i, remembered := range []bool{false, true} {
		if r, err := In(cache).Verify(t.Context(), opened(t, delta, base), Options{}); err != nil || r.Remembered != remembered {
			t.Errorf("%d: %+v, %v", i, r, err)
		}
	}
	if r, err := In(cache).Verify(t.Context(), opened(t, full), Options{}); err != nil || r.Remembered {
		t.Errorf("the full bundle of the same digest: %+v, %v", r, err)
	}
	spoil(t, base)
	if r, err := In(cache).Verify(t.Context(), opened(t, delta, base), Options{}); err == nil {
		t.Errorf("with a spoiled base: %+v", r)
	}
}

func TestAFileThatIsWrittenToMeanwhileIsNotRemembered(t *testing.T) {
	path, cache := filepath.Join(t.TempDir(), "a.bundle"), t.TempDir()
	written(t, path, "v1.36.3", content)
	o := Options{VerifyOptions: bundle.VerifyOptions{Progress: func(done, total int64) {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}}}
	_, err := In(cache).Verify(t.Context(), opened(t, path), o)
	if changed, ok := errors.AsType[*ChangedError](err); !ok || changed.Path != path {
		t.Errorf("got %v", err)
	}
	if files, err := os.ReadDir(cache); err != nil || len(files) != 0 {
		t.Errorf("remembered: %v, %v", files, err)
	}
}

func TestABundleIsGoodAlsoWhereNothingCanBeRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bundle")
	written(t, path, "v1.36.3", content)
	for range 2 {
		if r, err := In("").Verify(t.Context(), opened(t, path), Options{}); err != nil || r.Remembered || r.NotKept != nil {
			t.Errorf("without a directory: %+v, %v", r, err)
		}
		if r, err := In(path).Verify(t.Context(), opened(t, path), Options{}); err != nil || r.Remembered || r.NotKept == nil {
			t.Errorf("with a file for a directory: %+v, %v", r, err)
		}
	}
}

func TestAnotherDigestThanTheTrustedOneIsRefusedAlsoFromMemory(t *testing.T) {
	path, cache := filepath.Join(t.TempDir(), "a.bundle"), In(t.TempDir())
	written(t, path, "v1.36.3", content)
	if _, err := cache.Verify(t.Context(), opened(t, path), Options{}); err != nil {
		t.Fatal(err)
	}
	o := Options{VerifyOptions: bundle.VerifyOptions{Expected: digest.FromString("another")}}
	_, err := cache.Verify(t.Context(), opened(t, path), o)
	if _, ok := errors.AsType[*bundle.UntrustedError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func TestAnEndedVerificationForgetsNothing(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "a.bundle"), t.TempDir()
	written(t, path, "v1.36.3", content)
	if _, err := In(dir).Verify(t.Context(), opened(t, path), Options{}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := In(dir).Verify(ended, opened(t, path), Options{Anew: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	one(t, dir)
}
