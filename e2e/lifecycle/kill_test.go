//go:build e2e

package lifecycle

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/e2e/kubewright"
)

// deed is one operation of the matrix.
type deed struct {
	name string
	// to is the cluster it leads to; none for a reset.
	to shape
}

// TestKilledAtSomeStepsOfEveryOperation is a sample of the matrix on a small cluster.
func TestKilledAtSomeStepsOfEveryOperation(t *testing.T) {
	const every = 9
	w := newWorld(t, "sample", 2)
	w.killAll(t, every, []deed{
		{"install", shape{newest, []string{"n1"}, nil}},
		{"add", shape{newest, []string{"n1"}, []string{"n2"}}},
		{"remove", shape{newest, []string{"n1"}, nil}},
		{"reset", shape{}},
	})
}

// TestKilledAtEveryStepOfEveryOperation is the matrix without upgrades.
func TestKilledAtEveryStepOfEveryOperation(t *testing.T) {
	requireWholeMatrix(t)
	w := newWorld(t, "killed", 5)
	w.killAll(t, 1, []deed{
		{"install", shape{newest, []string{"n1"}, []string{"n4"}}},
		{"add", shape{newest, []string{"n1", "n2", "n3"}, []string{"n4", "n5"}}},
		{"remove", shape{newest, []string{"n3"}, []string{"n4"}}},
		{"reset", shape{}},
	})
}

func TestKilledAtEveryStepOfAnUpgrade(t *testing.T) {
	requireWholeMatrix(t)
	w := newWorld(t, "killed-upgrade", 4)
	w.requireVersions(t, older, newest)
	w.before = shape{older, []string{"n1", "n2", "n3"}, []string{"n4"}}
	w.killAll(t, 1, []deed{{"upgrade", shape{newest, []string{"n1", "n2", "n3"}, []string{"n4"}}}})
}

func requireWholeMatrix(t *testing.T) {
	t.Helper()
	if os.Getenv("KUBEWRIGHT_E2E_KILL") == "" {
		t.Skip("it takes half an hour: run `make e2e-kill`")
	}
}

// killAll lets every operation be killed right after its steps begin, and again right after what a step does was done, each time followed
// by the same command. What comes of it must be what an undisturbed run leads to. Only every so many of the boundaries are taken.
func (w *world) killAll(t *testing.T, every int, all []deed) {
	t.Helper()
	wanted, steps, applies := w.undisturbed(t, all)
	w.ready(t)
	for k, d := range all {
		ok := t.Run(d.name, func(t *testing.T) {
			chosen := points(steps[d.name], every, k)
			kills, out := w.kills(t, slices.Clone(chosen), d)
			reached := pointsOf(kills)
			t.Logf("measured: %d steps, killed %d times, then it ended well", len(steps[d.name]), len(reached))
			t.Run("every step was killed at its beginning", func(t *testing.T) {
				requireBegun(t, chosen, reached, applies[d.name], out)
			})
			t.Run("every step that does something was killed right after it had", func(t *testing.T) {
				requireApplied(t, chosen, applies[d.name], kills)
			})
			t.Run("the end is that of an undisturbed run", func(t *testing.T) {
				if diff := cmp.Diff(wanted[d.name], w.end(t)); diff != "" {
					t.Errorf("(-undisturbed +killed):\n%s", diff)
				}
			})
			if len(w.now.hosts()) > 0 {
				w.requireWhole(t)
			}
		})
		if !ok {
			w.explain(t)
			t.Fatalf("what comes after %s would only repeat its failure", d.name)
		}
	}
}

// requireBegun wants that the program died at the beginning of every step, as far as that was among the chosen points. Only a step that did
// nothing in the undisturbed run may be missing, if the last run left it out: one that finds the nodes finished does not look at hosts again
// whose operation was cut off right before.
func requireBegun(t *testing.T, chosen, reached, applies []string, last string) {
	t.Helper()
	var left []string
	for _, point := range chosen {
		step, ok := strings.CutPrefix(point, "kill:begin:")
		switch {
		case !ok || slices.Contains(reached, point):
		case !slices.Contains(applies, step) && !slices.Contains(stepsOf(last), step):
			left = append(left, step)
		default:
			t.Errorf("%s was not reached; the last run said\n%s", point, tail(last, 40))
		}
	}
	if len(left) > 0 {
		t.Logf("measured: %d steps that had nothing to do were left out by the last run %v", len(left), left)
	}
}

// readOnly are steps that apply something, as connecting, which changes no host. They end as done, like those that had nothing to do.
var readOnly = []string{"host/connect", "host/compare"}

// requireApplied wants that the program died after the Apply of every step that has one, as far as that was among the chosen points. Only a step
// that was in hand when the program died of another one may be missing: what it had begun went on on its host, and was found done afterwards.
func requireApplied(t *testing.T, chosen, applies []string, kills []kill) {
	t.Helper()
	reached := pointsOf(kills)
	var hit, excused []string
	for _, step := range applies {
		point := "kill:applied:" + step
		switch {
		case !slices.Contains(chosen, point):
		case slices.Contains(reached, point):
			hit = append(hit, step)
		case slices.ContainsFunc(kills, func(k kill) bool { return k.step() != step && slices.Contains(k.inHand, step) }):
			excused = append(excused, step)
		default:
			t.Errorf("%s was not reached, though the step did something in the undisturbed run and was never in hand when another one was killed", point)
		}
	}
	t.Logf("measured: killed right after %d steps had done something; %d were done while another one was killed %v", len(hit), len(excused), excused)
}

// ready boots hosts and brings them to where the first operation begins.
func (w *world) ready(t *testing.T) {
	t.Helper()
	w.spoilt = true
	w.ensure(t, w.before)
}

// undisturbed carries all operations out once, and returns what each led to, the steps it went through, and those that did something.
func (w *world) undisturbed(t *testing.T, all []deed) (ends map[string]any, steps, applies map[string][]string) {
	t.Helper()
	ends, steps, applies = map[string]any{}, map[string][]string{}, map[string][]string{}
	w.ready(t)
	for _, d := range all {
		out, err := w.do(t, w.Program, d)
		if err != nil {
			t.Fatalf("%s, undisturbed: %v\n%s", d.name, err, tail(out, 60))
		}
		w.now = d.to
		ends[d.name], steps[d.name], applies[d.name] = w.end(t), stepsOf(out), appliesOf(out)
		if len(steps[d.name]) == 0 || len(applies[d.name]) == 0 {
			t.Fatalf("no steps, or none that did something, can be read from\n%s", out)
		}
	}
	return ends, steps, applies
}

// do carries an operation out with a program.
func (w *world) do(t *testing.T, program string, d deed, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	with := *w.Installation
	with.Program = program
	var command *exec.Cmd
	if len(d.to.hosts()) == 0 {
		command = with.Command(ctx, "delete", w.Name, "--reset", "--yes")
	} else {
		w.describe(t, d.to)
		command = with.UpCommand(ctx)
	}
	command.Env = append(os.Environ(), env...)
	r, err := with.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	return r.Wait()
}

var (
	died = regexp.MustCompile(`fault: killed at (kill:[a-z]+:[^@\s]+)@`)
	held = regexp.MustCompile(`(?m)^fault: in hand: (.+)$`)
)

// kill is one death of the program.
type kill struct {
	// point it died at, without the host.
	point string
	// inHand are the steps that were under way on any host.
	inHand []string
}

func (k kill) step() string { return k.point[strings.LastIndex(k.point, ":")+1:] }

func pointsOf(kills []kill) []string {
	var points []string
	for _, k := range kills {
		points = append(points, k.point)
	}
	return points
}

// killed is kills for those who ask only where the program died.
func (w *world) killed(t *testing.T, points []string, d deed) (reached []string, last string) {
	t.Helper()
	kills, last := w.kills(t, points, d)
	return pointsOf(kills), last
}

// kills carries an operation out with a program that dies at the first of the points it comes to, again and again, with the point it
// died at left out the next time.
func (w *world) kills(t *testing.T, points []string, d deed) (all []kill, last string) {
	t.Helper()
	program := w.faulty(t)
	for {
		out, err := w.do(t, program, d, "KUBEWRIGHT_FAULT="+strings.Join(points, ","))
		if err == nil {
			w.now = d.to
			return all, out
		}
		at := died.FindStringSubmatch(out)
		if at == nil {
			t.Fatalf("after %d kills, the last at %v, it failed by itself: %v\n%s", len(all), all[max(0, len(all)-1):], err, tail(out, 60))
		}
		one := kill{point: at[1]}
		if in := held.FindStringSubmatch(out); in != nil {
			for _, pair := range strings.Fields(in[1]) {
				step, _, _ := strings.Cut(pair, "@")
				one.inHand = append(one.inHand, step)
			}
		}
		all = append(all, one)
		points = slices.DeleteFunc(points, func(p string) bool { return p == at[1] })
	}
}

// points are both boundaries of every step, or only every so many of them, beginning with another one for each operation.
func points(steps []string, every, from int) []string {
	var all []string
	for _, s := range steps {
		all = append(all, "kill:begin:"+s, "kill:applied:"+s)
	}
	var chosen []string
	for i := from % every; i < len(all); i += every {
		chosen = append(chosen, all[i])
	}
	return chosen
}

var stepLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\s+\S+\s+([a-z-]+/[a-z-]+)\s`)

// stepsOf are the steps a run went through, as its lines of progress say.
func stepsOf(output string) []string {
	seen := map[string]bool{}
	for _, found := range stepLine.FindAllStringSubmatch(output, -1) {
		seen[found[1]] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// appliesOf are the steps of a run that did something, on any host.
func appliesOf(output string) []string {
	seen := map[string]bool{}
	for _, found := range endOfStep.FindAllStringSubmatch(output, -1) {
		if found[4] == "changed" || slices.Contains(readOnly, found[3]) {
			seen[found[3]] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// end is what an operation led to: the cluster's state, or what hosts without one are made of that they were not made of before.
func (w *world) end(t *testing.T) any {
	t.Helper()
	if len(w.now.hosts()) > 0 {
		return w.state(t)
	}
	left := map[string][]string{}
	now := w.remains(t)
	for host := range now {
		left[host] = missingFrom(w.clean[host], now[host])
	}
	return left
}

func missingFrom(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(line string) bool { return slices.Contains(before, line) })
}

// faulty is the program built with the tag that lets it die at points.
func (w *world) faulty(t *testing.T) string {
	t.Helper()
	path := filepath.Join(w.shared, "kubewright-faults")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := kubewright.BuildFaulty(t.Context(), filepath.Join("..", ".."), path); err != nil {
		t.Fatal(err)
	}
	return path
}
