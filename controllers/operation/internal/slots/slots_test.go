package slots

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// name reads "a/1".
func name(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func claim(text string) Claim { return Claim{NamespacedName: name(text)} }

// ask asks for all of them, and returns those that have a slot at once.
func ask(p *Pool, texts ...string) string {
	var got []string
	for _, text := range texts {
		if p.Ask(claim(text)) {
			got = append(got, text)
		}
	}
	return strings.Join(got, " ")
}

// free frees slots one after the other, has each that is offered one take it, and returns who that is.
func free(t *testing.T, p *Pool, texts ...string) string {
	t.Helper()
	var got []string
	for _, text := range texts {
		for _, offered := range p.Free(name(text)) {
			got = append(got, offered.String())
			if !p.Ask(Claim{NamespacedName: offered}) {
				t.Fatalf("%s was offered a slot and did not get it", offered)
			}
		}
	}
	return strings.Join(got, " ")
}

func TestWhoIsNext(t *testing.T) {
	old := Claim{NamespacedName: name("a/old"), Since: time.Unix(1, 0)}
	young := Claim{NamespacedName: name("a/young"), Since: time.Unix(2, 0)}
	begun := Claim{NamespacedName: name("a/z"), Rank: -1, Since: time.Unix(3, 0)}
	for what, c := range map[string]struct {
		limit   int
		hold    []string // take slots first
		waiting []Claim
		free    []string
		want    string
	}{
		"whoever holds the fewest goes first": {2, []string{"a/1", "a/2"}, []Claim{claim("a/3"), claim("a/4"), claim("b/1"), claim("b/2")},
			[]string{"a/1", "a/2"}, "b/1 a/3"},
		"namespaces with as many take turns": {1, []string{"a/1"}, []Claim{claim("a/2"), claim("a/3"), claim("b/1"), claim("b/2"), claim("c/1")},
			[]string{"a/1", "b/1", "c/1", "a/2", "b/2"}, "b/1 c/1 a/2 b/2 a/3"},
		"the older goes first":                       {1, []string{"b/1"}, []Claim{young, old}, []string{"b/1", "a/old"}, "a/old a/young"},
		"what has begun goes before what is older":   {1, []string{"b/1"}, []Claim{young, old, begun}, []string{"b/1", "a/z"}, "a/z a/old"},
		"one namespace has all slots, if few":        {4, nil, []Claim{claim("a/1"), claim("a/2"), claim("a/3"), claim("a/4")}, nil, ""},
		"the last fifth is for those that have none": {10, []string{"a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "a/8"}, []Claim{claim("a/9")}, nil, ""},
	} {
		t.Run(what, func(t *testing.T) {
			p := New(c.limit)
			if got := ask(p, c.hold...); got != strings.Join(c.hold, " ") {
				t.Fatalf("%q have slots", got)
			}
			for _, waits := range c.waiting {
				p.Ask(waits)
			}
			if got := free(t, p, c.free...); got != c.want {
				t.Errorf("slots went to %q, want %q", got, c.want)
			}
		})
	}
}

func TestOneNamespaceNeverHasTheLastFifth(t *testing.T) {
	p := New(10)
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprintf("a/%02d", i))
	}
	if got := ask(p, all...); got != strings.Join(all[:8], " ") {
		t.Errorf("%q have slots", got)
	}
	if got := ask(p, "b/1", "b/2", "c/1", "d/1"); got != "b/1 c/1" {
		t.Errorf("%q got slots at once", got)
	}
	if got := free(t, p, "a/00"); got != "d/1" {
		t.Errorf("the next slot went to %q", got)
	}
	if got := free(t, p, "a/01"); got != "" {
		t.Errorf("the next slot went to %q, though it is kept", got)
	}
	if got := free(t, p, "a/02", "a/03"); got != "b/2" {
		t.Errorf("the next slots went to %q", got)
	}
}

func TestASlotThatIsNotTakenGoesToTheNext(t *testing.T) {
	p := New(1)
	ask(p, "a/1", "a/2", "b/1", "c/1")
	if offered := p.Free(name("a/1")); !slices.Equal(offered, []types.NamespacedName{name("b/1")}) {
		t.Fatalf("offered to %v", offered)
	}
	if ask(p, "c/1", "a/2") != "" {
		t.Error("a slot that is offered was given to another")
	}
	if offered := p.Withdraw(name("b/1")); !slices.Equal(offered, []types.NamespacedName{name("c/1")}) {
		t.Errorf("then offered to %v", offered)
	}
	if ask(p, "c/1") != "c/1" || len(p.Withdraw(name("c/1"))) != 0 || ask(p, "a/2") != "" {
		t.Error("what has taken a slot must not lose it by withdrawing")
	}
}

func TestWhoMovedIsTold(t *testing.T) {
	p := New(1)
	ask(p, "a/0")
	var names []types.NamespacedName
	for i := range 12 {
		names = append(names, name(fmt.Sprintf("a/1%02d", i)))
		p.Ask(Claim{NamespacedName: names[i]})
	}
	for i, n := range names {
		want := i + 1
		if want > Shown {
			want = 0
		}
		if got := p.Place(n); got != want {
			t.Errorf("%s is at place %d, want %d", n, got, want)
		}
	}
	if moved := p.Moved(); len(moved) != 0 {
		t.Errorf("%v moved, and nothing happened", moved)
	}
	p.Ask(claim("b/1"))
	if moved := p.Moved(); len(moved) != 10 || slices.Contains(moved, names[10]) {
		t.Errorf("after another came in front %v moved", moved)
	}
	if p.Place(names[0]) != 2 || p.Place(names[9]) != 0 {
		t.Error("the places are not those behind b/1")
	}
	p.Withdraw(name("b/1"))
	if moved := p.Moved(); !slices.Contains(moved, names[0]) || !slices.Contains(moved, names[9]) || slices.Contains(moved, names[3]) {
		t.Errorf("after it left %v moved", moved)
	}
}

// TestSlotsAreHandedOutFairly has namespaces come, take, give up and free at random, and judges every offer.
func TestSlotsAreHandedOutFairly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		kept := limit / 5
		p := New(limit)
		has := map[types.NamespacedName]bool{}
		// waits counts of each that waits how often others were served while its namespace held nothing.
		waits := map[types.NamespacedName]int{}
		held := func(namespace string) (n int) {
			for h := range has {
				if h.Namespace == namespace {
					n++
				}
			}
			return n
		}
		judge := func(offered types.NamespacedName) {
			for w := range waits {
				if held(w.Namespace) < held(offered.Namespace) {
					t.Fatalf("%s was served and holds %d, while %s holds %d", offered, held(offered.Namespace), w, held(w.Namespace))
				}
			}
			if held(offered.Namespace) > 0 && len(has) >= limit-kept {
				t.Fatalf("%s got one of the last slots, and holds %d", offered, held(offered.Namespace))
			}
			delete(waits, offered)
			has[offered] = true
			for w := range waits {
				if w.Namespace != offered.Namespace && held(w.Namespace) == 0 {
					waits[w]++
				}
			}
		}
		take := func(offered []types.NamespacedName) {
			for _, o := range offered {
				judge(o)
				if rapid.IntRange(0, 9).Draw(t, "givesUp") > 0 && !p.Ask(Claim{NamespacedName: o}) {
					t.Fatalf("%s was offered a slot that it did not get", o)
				}
			}
		}
		steps := rapid.IntRange(1, 80).Draw(t, "steps")
		for range steps {
			n := types.NamespacedName{Namespace: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "namespace"), Name: rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"}).Draw(t, "name")}
			switch {
			case has[n] && p.holds[n]:
				delete(has, n)
				take(p.Free(n))
			case has[n] || waits[n] > 0 && rapid.Bool().Draw(t, "withdraws"):
				delete(has, n)
				delete(waits, n)
				take(p.Withdraw(n))
			default:
				if _, already := waits[n]; !already {
					waits[n] = 0
				}
				if p.Ask(Claim{NamespacedName: n}) {
					judge(n)
				} else if place := p.Place(n); place > min(len(waits), Shown) || place == 0 && len(waits) <= Shown {
					t.Fatalf("%s waits at place %d of %d", n, place, len(waits))
				}
			}
			if len(has) > limit || len(has) != len(p.holds) {
				t.Fatalf("%d have slots, and %d for the pool, of %d", len(has), len(p.holds), limit)
			}
			for w, overtaken := range waits {
				if held(w.Namespace) == 0 && len(has) < limit {
					t.Fatalf("%s waits beside a free slot", w)
				}
				if held(w.Namespace) > 0 && len(has) < limit-kept {
					t.Fatalf("%s waits beside a free slot that nobody is kept for", w)
				}
				// Its namespace holds nothing, so it is at the front of it as soon as those of it that are older gave up: at most five, each of which
				// three other namespaces may pass once.
				if overtaken > 6*3 {
					t.Fatalf("%s was passed %d times by other namespaces", w, overtaken)
				}
			}
		}
		for n := range has {
			p.holds[n] = true
		}
		for len(has) > 0 {
			for n := range has {
				delete(has, n)
				for _, o := range p.Free(n) {
					judge(o)
					p.Ask(Claim{NamespacedName: o})
				}
				break
			}
		}
		if len(waits) > 0 || len(p.holds)+len(p.held)+len(p.waiting)+len(p.served)+len(p.told) > 0 {
			t.Fatalf("in the end %v wait, and the pool remembers %+v", waits, p)
		}
	})
}
