package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// story is what `go test -json` says of a story of two scenarios, a test without subtests, and a package that crashed.
var story = strings.Join([]string{
	`{"Action":"run","Package":"x/life","Test":"TestGrow"}`,
	`{"Action":"run","Package":"x/life","Test":"TestGrow/second_comes_first"}`,
	`{"Action":"run","Package":"x/life","Test":"TestGrow/second_comes_first/nodes_are_Ready"}`,
	`{"Action":"output","Package":"x/life","Test":"TestGrow/second_comes_first/nodes_are_Ready","Output":"    a_test.go:7: measured: 40 calls, 0 failed\n"}`,
	`{"Action":"pass","Package":"x/life","Test":"TestGrow/second_comes_first/nodes_are_Ready","Elapsed":2}`,
	`{"Action":"pass","Package":"x/life","Test":"TestGrow/second_comes_first","Elapsed":3.25}`,
	`{"Action":"run","Package":"x/life","Test":"TestGrow/a_scenario"}`,
	`{"Action":"output","Package":"x/life","Test":"TestGrow/a_scenario/one","Output":"    a_test.go:9: no & no\n"}`,
	`{"Action":"fail","Package":"x/life","Test":"TestGrow/a_scenario/one"}`,
	`{"Action":"pass","Package":"x/life","Test":"TestGrow/a_scenario/two"}`,
	`{"Action":"fail","Package":"x/life","Test":"TestGrow/a_scenario","Elapsed":60}`,
	`{"Action":"fail","Package":"x/life","Test":"TestGrow","Elapsed":63.25}`,
	`{"Action":"fail","Package":"x/life"}`,
	`{"Action":"skip","Package":"x/other","Test":"TestAHostAloneHere"}`,
	`{"Action":"pass","Package":"x/other"}`,
	`{"Action":"run","Package":"x/sick","Test":"TestDies"}`,
	`{"Action":"output","Package":"x/sick","Test":"TestDies","Output":"panic: oh\n"}`,
	`{"Action":"fail","Package":"x/sick"}`,
}, "\n") + "\n"

func TestTableHasOneLineForEachScenario(t *testing.T) {
	var out strings.Builder
	r, err := read(strings.NewReader(story), &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	if err := printTable(&out, r.scenarios()); err != nil {
		t.Fatal(err)
	}
	want := `
SCENARIO                         CHECKS  DURATION  RESULT
life: grow / second comes first  1/1     3.3s      pass
life: grow / a scenario          1/2     1m0s      fail
other: a host alone here         0/1     0s        skip
sick: dies                       0/1     0s        crash
grow / second comes first: 40 calls, 0 failed
`
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", out.String(), want)
	}
}

func TestJUnitTellsFailuresWithWhatTheySaid(t *testing.T) {
	r, err := read(strings.NewReader(story), &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dist", "e2e.xml")
	if err := (reports{junit: path}).write(r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 4 {
		t.Fatalf("there are %d suites, want 4:\n%s", len(got.Suites), text)
	}
	if s := got.Suites[1]; s.Tests != 2 || s.Failures != 1 || s.Cases[0].Failure == nil || !strings.Contains(s.Cases[0].Failure.Text, "no & no") {
		t.Errorf("the failed scenario is %+v", s)
	}
	if s := got.Suites[0]; !strings.Contains(s.Output, "40 calls") {
		t.Errorf("what was measured is not told: %+v", s)
	}
	if s := got.Suites[2]; s.Skipped != 1 {
		t.Errorf("the skipped test is %+v", s)
	}
}
