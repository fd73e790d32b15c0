// Package faults ends the program at the boundaries of steps, as a loss of power would. It is linked only with the build tag faults, for
// the tests that show that an operation goes on from anywhere.
package faults

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/kubewright/kubewright/pkg/engine"
)

// Variable names the environment variable with the points to die at: "kill:MOMENT:STEP[@HOST]", separated by commas. The first one that
// is reached counts.
const Variable = "KUBEWRIGHT_FAULT"

// Moment is a boundary of a step on a host.
type Moment string

const (
	// Begin is when the step begins on a host: its first event Running.
	Begin Moment = "begin"
	// Applied is when its Apply has succeeded, before the effect is observed.
	Applied Moment = "applied"
)

// Point is where to die.
type Point struct {
	Moment Moment
	Step   string
	// Host is empty for whichever comes first.
	Host string
}

// Parse reads the variable's value; an empty one holds no points.
func Parse(text string) ([]Point, error) {
	if text == "" {
		return nil, nil
	}
	var points []Point
	for _, one := range strings.Split(text, ",") {
		where, host, _ := strings.Cut(one, "@")
		parts := strings.Split(where, ":")
		if len(parts) != 3 || parts[0] != "kill" || parts[2] == "" || !slices.Contains([]Moment{Begin, Applied}, Moment(parts[1])) {
			return nil, fmt.Errorf("%s: %q is no fault: write kill:begin:STEP or kill:applied:STEP, with @HOST after it if one host is meant", Variable, one)
		}
		points = append(points, Point{Moment: Moment(parts[1]), Step: parts[2], Host: host})
	}
	return points, nil
}

// Killer watches operations and kills when one reaches a point.
type Killer struct {
	Points []Point
	// Kill is told where, and what else was under way, as STEP@HOST; it does not return in the program.
	Kill func(reached Point, inHand []string)

	mu sync.Mutex
	// running are the pairs under way.
	running map[string]bool
}

// Emit sees every event of an operation.
func (k *Killer) Emit(e engine.Event) {
	k.note(e)
	if e.State == engine.StateRunning && e.Try == 1 {
		k.reach(Begin, e.Step, e.Host)
	}
}

// note keeps what is under way: what a step has begun on its host goes on when the program dies of another one.
func (k *Killer) note(e engine.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running == nil {
		k.running = map[string]bool{}
	}
	pair := e.Step + "@" + e.Host
	switch {
	case e.State == engine.StateRunning, e.State == engine.StateRetrying:
		k.running[pair] = true
	case e.State.Final():
		delete(k.running, pair)
	}
}

// AfterApply is called between Apply and the observation of its effect.
func (k *Killer) AfterApply(step, host string) { k.reach(Applied, step, host) }

func (k *Killer) reach(moment Moment, step, host string) {
	for _, p := range k.Points {
		if p.Moment == moment && p.Step == step && (p.Host == "" || p.Host == host) {
			k.Kill(Point{Moment: moment, Step: step, Host: host}, k.inHand(step+"@"+host))
			return
		}
	}
}

// inHand lists what is under way besides one pair.
func (k *Killer) inHand(besides string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(k.running)), func(pair string) bool { return pair == besides })
}

// Line is what the program says before it dies, so that a test knows which point it was.
func (p Point) Line() string {
	return fmt.Sprintf("fault: killed at kill:%s:%s@%s", p.Moment, p.Step, p.Host)
}

// KillThisProcess says where, and what was under way besides, and sends SIGKILL to this process.
func KillThisProcess(reached Point, inHand []string) {
	if len(inHand) > 0 {
		_, _ = os.Stderr.WriteString("fault: in hand: " + strings.Join(inHand, " ") + "\n")
	}
	_, _ = os.Stderr.WriteString(reached.Line() + "\n")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
