package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunsAreCountedAndPrinted(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		want  counts
		shown []string
		quiet []string
	}{
		{
			name: "passing tests count without their parents, and print only their package",
			lines: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/two"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"skip","Package":"p","Test":"TestB"}`,
				`{"Action":"output","Package":"p","Output":"PASS\n"}`,
				`{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			want: counts{Passed: 2, Skipped: 1}, shown: []string{"ok  \tp\t0.1s"}, quiet: []string{"noise", "PASS"},
		},
		{
			name: "a failed test prints what it said, and its parent does not count again",
			lines: []string{
				`{"Action":"output","Package":"p","Test":"TestA/one","Output":"    a_test.go:7: wrong\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA/one"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: counts{Failed: 1}, shown: []string{"a_test.go:7: wrong"},
		},
		{
			name: "a parent that fails by itself counts",
			lines: []string{
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: counts{Passed: 1, Failed: 1},
		},
		{
			name: "a package that does not compile is one failure",
			lines: []string{
				`{"ImportPath":"p","Action":"build-output","Output":"p.go:1: syntax error\n"}`,
				`{"ImportPath":"p","Action":"build-fail"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			},
			want: counts{Failed: 1}, shown: []string{"syntax error", "[build failed]"},
		},
		{
			name: "a crash is a failure and shows the test it happened in",
			lines: []string{
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"panic: oh\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: counts{Passed: 1, Failed: 1}, shown: []string{"panic: oh"},
		},
		{
			name:  "a slow test gets a line though it passed",
			lines: []string{`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":61.25}`},
			want:  counts{Passed: 1}, shown: []string{"--- PASS: TestA (1m1.3s)"},
		},
		{
			name:  "what the go command says plainly is passed on",
			lines: []string{`go: no such tool`},
			shown: []string{"go: no such tool"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			r, err := read(strings.NewReader(strings.Join(tc.lines, "\n")+"\n"), &out)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.count(); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			for _, want := range tc.shown {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, out.String())
				}
			}
			for _, noise := range tc.quiet {
				if strings.Contains(out.String(), noise) {
					t.Errorf("the output has %q:\n%s", noise, out.String())
				}
			}
		})
	}
}

func TestTheTotalIsTheLastLine(t *testing.T) {
	pass := `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	fail := `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n"
	for _, tc := range []struct {
		name   string
		runs   []string
		want   string
		failed bool
	}{
		{"two good runs", []string{pass, pass}, "2 passed, 0 failed\n", false},
		{"one bad run", []string{pass, fail}, "1 passed, 1 failed\n", true},
		{"a run that said nothing", []string{pass, ""}, "1 passed, 1 failed\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "counts")
			for _, r := range tc.runs {
				var out strings.Builder
				if err := addRun(strings.NewReader(r), &out, file, reports{}); err != nil && !errors.Is(err, errFailed) {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := printTotal(&out, file)
			if errors.Is(err, errFailed) != tc.failed {
				t.Errorf("got error %v, want failed %t", err, tc.failed)
			}
			if out.String() != tc.want {
				t.Errorf("got %q, want %q", out.String(), tc.want)
			}
		})
	}
}
