// Command testsum reads what `go test -json` writes, prints what a person wants to see of it, and counts tests over several runs.
//
//	go test -json ./... | testsum -add FILE    prints packages and failures, adds the counts to FILE, fails when a test failed
//	testsum -total FILE                        prints "N passed, N failed", fails when anything failed
//
// With -table it also prints each scenario with its checks, duration and result: a scenario is a test with subtests, which are its checks,
// or a test without any, which is its own only check. With -junit FILE the same is written as JUnit XML.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	add := flag.String("add", "", "file to add the counts of standard input to")
	total := flag.String("total", "", "file to print the sum of")
	var also reports
	flag.BoolVar(&also.table, "table", false, "print a table of scenarios at the end")
	flag.StringVar(&also.junit, "junit", "", "file to write JUnit XML to")
	flag.Parse()
	var err error
	switch {
	case *add != "":
		err = addRun(os.Stdin, os.Stdout, *add, also)
	case *total != "":
		err = printTotal(os.Stdout, *total)
	default:
		err = errors.New("say -add FILE or -total FILE")
	}
	if errors.Is(err, errFailed) {
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
}

// errFailed says that the tests failed, which has been printed already.
var errFailed = errors.New("tests failed")

// slow is how long a test takes before it is worth a line of its own when it passes.
const slow = 10 * time.Second

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
	Elapsed                       float64
}

func (e event) elapsed() time.Duration {
	return time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
}

type counts struct{ Passed, Failed, Skipped int }

func (c counts) plus(o counts) counts {
	return counts{c.Passed + o.Passed, c.Failed + o.Failed, c.Skipped + o.Skipped}
}

// reports are what is made of a run besides counting it.
type reports struct {
	table bool
	junit string
}

func (o reports) write(r *run) error {
	all := r.scenarios()
	if o.junit != "" {
		if err := writeJUnit(o.junit, all); err != nil {
			return err
		}
	}
	if o.table {
		return printTable(r.out, all)
	}
	return nil
}

func addRun(in io.Reader, out io.Writer, file string, also reports) error {
	r, readErr := read(in, out)
	got := r.count()
	if readErr != nil || got == (counts{}) {
		// A run that says nothing, or not to the end, has not passed.
		got.Failed++
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	if err := errors.Join(json.NewEncoder(f).Encode(got), f.Close(), also.write(r), readErr); err != nil {
		return err
	}
	if got.Failed > 0 {
		return errFailed
	}
	return nil
}

func printTotal(out io.Writer, file string) error {
	f, err := os.Open(file) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	var sum counts
	for lines := json.NewDecoder(f); lines.More(); {
		var c counts
		if err := lines.Decode(&c); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		sum = sum.plus(c)
	}
	if sum.Skipped > 0 {
		if _, err := fmt.Fprintf(out, "%d skipped\n", sum.Skipped); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, "%d passed, %d failed\n", sum.Passed, sum.Failed); err != nil {
		return err
	}
	if sum.Failed > 0 || sum.Passed == 0 {
		return errFailed
	}
	return nil
}

// ending is how a test ended.
type ending struct {
	action string
	took   time.Duration
	// said is what a failed or skipped test said.
	said string
	// measured are lines a test wants to be read also when it passes.
	measured []string
	// place tells which test began first.
	place int
}

// run is what has been seen of one `go test`.
type run struct {
	out io.Writer
	// output of tests that have not ended, and of packages beside their tests.
	output map[string][]string
	// ended holds how every test ended, by package and name.
	ended map[string]map[string]ending
	// begun holds the place of every test in the order they began, by package and name.
	begun map[string]int
	// broken packages failed otherwise than by a test: they did not compile, crashed or ran out of time.
	broken int
}

func read(in io.Reader, out io.Writer) (*run, error) {
	r := &run{out: out, output: map[string][]string{}, ended: map[string]map[string]ending{}, begun: map[string]int{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
	}
}

func (r *run) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		// The go command itself speaks plainly at times, for example about a bad flag.
		r.print(string(line))
		return
	}
	switch e.Action {
	case "run":
		r.begun[e.Package+" "+e.Test] = len(r.begun) + 1
	case "output":
		r.keep(e)
	case "build-output":
		r.print(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
	}
}

func (r *run) keep(e event) {
	key := e.Package + " " + e.Test
	r.output[key] = append(r.output[key], e.Output)
}

func (r *run) endTest(e event) {
	r.end(e.Package, e.Test, e.Action, e.elapsed())
	key := e.Package + " " + e.Test
	top := !strings.Contains(e.Test, "/")
	switch {
	case e.Action == "fail":
		for _, line := range r.output[key] {
			if !strings.HasPrefix(line, "=== ") {
				r.print(line)
			}
		}
	case top && e.elapsed() >= slow:
		r.print(fmt.Sprintf("--- %s: %s (%s)\n", strings.ToUpper(e.Action), e.Test, e.elapsed()))
	}
	delete(r.output, key)
}

// end takes down how a test ended.
func (r *run) end(pkg, test, action string, took time.Duration) {
	if r.ended[pkg] == nil {
		r.ended[pkg] = map[string]ending{}
	}
	key := pkg + " " + test
	r.ended[pkg][test] = ending{action: action, took: took, said: said(action, r.output[key]), measured: measured(r.output[key]), place: r.begun[key]}
}

// crashed is the action of a test that never ended, because its whole package did.
const crashed = "crash"

// endPackage prints the package's own output, whose last line is what `go test` prints without -v.
func (r *run) endPackage(e event) {
	if e.Action == "fail" && !anyFailed(r.ended[e.Package]) {
		r.broken++
		// Tests that never ended say where it crashed.
		for key, lines := range r.output {
			if strings.HasPrefix(key, e.Package+" ") && key != e.Package+" " {
				r.print(strings.Join(lines, ""))
				r.end(e.Package, strings.TrimPrefix(key, e.Package+" "), crashed, 0)
				delete(r.output, key)
			}
		}
	}
	for _, line := range r.output[e.Package+" "] {
		if line != "PASS\n" && !strings.HasPrefix(line, "coverage:") {
			r.print(line)
		}
	}
	delete(r.output, e.Package+" ")
}

// count counts tests that have no subtests, and those with some only when they failed by themselves.
func (r *run) count() counts {
	c := counts{Failed: r.broken}
	for _, tests := range r.ended {
		for name, end := range tests {
			if parent, childFailed := below(tests, name); parent && (end.action != "fail" || childFailed) {
				continue
			}
			switch end.action {
			case "pass":
				c.Passed++
			case "fail":
				c.Failed++
			case "skip":
				c.Skipped++
			}
		}
	}
	return c
}

func below(tests map[string]ending, name string) (parent, failed bool) {
	for other, end := range tests {
		if strings.HasPrefix(other, name+"/") {
			parent = true
			failed = failed || end.action == "fail"
		}
	}
	return parent, failed
}

func (r *run) print(text string) {
	fmt.Fprint(r.out, text) //nolint:errcheck // nothing is left to tell it to
}

func anyFailed(tests map[string]ending) bool {
	for _, end := range tests {
		if end.action == "fail" {
			return true
		}
	}
	return false
}
