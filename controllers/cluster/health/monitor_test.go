package health_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/cluster/health"
)

const interval = 30 * time.Second

var demo = health.Target{Key: client.ObjectKey{Namespace: "fleet", Name: "demo"}, Version: "v1.36.3"}

// scripted answers every check as the test says.
type scripted struct {
	mu     sync.Mutex
	checks int
	nodes  health.Nodes
	err    error
	// block holds a check up until it is closed; nil holds up none.
	block chan struct{}
}

func (s *scripted) Check(_ context.Context, target health.Target) (health.Nodes, error) {
	s.mu.Lock()
	s.checks++
	nodes, err, block := s.nodes, s.err, s.block
	s.mu.Unlock()
	if block != nil {
		<-block
	}
	if target.Key != demo.Key || target.Version != demo.Version {
		return health.Nodes{}, errors.New("another target")
	}
	return nodes, err
}

func (s *scripted) answer(nodes health.Nodes, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes, s.err = nodes, err
}

// counted returns how many checks were begun since it was called last.
func (s *scripted) counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.checks = 0 }()
	return s.checks
}

// bench is a Monitor at work on a clock that moves when everything waits.
type bench struct {
	*health.Monitor
	t       *testing.T
	checker *scripted
	mu      sync.Mutex
	changes int
}

func onBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, checker: &scripted{nodes: health.Nodes{Joined: 4, Ready: 4}}}
		b.Monitor = health.New(b.checker, interval, func(client.ObjectKey) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.changes++
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Start(ctx) }()
		test(b)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// checked lets time pass until one more check has ended.
func (b *bench) checked() {
	b.t.Helper()
	b.checker.counted()
	for range 100 {
		time.Sleep(interval / 50)
		synctest.Wait()
		if b.checker.counted() > 0 {
			return
		}
	}
	b.t.Fatal("no check was made in two intervals")
}

func (b *bench) expect(verdict health.Verdict, message string, changes int) {
	b.t.Helper()
	record := b.Record(demo.Key)
	if record.Verdict != verdict || record.Message != message {
		b.t.Errorf("found %d %q, want %d %q", record.Verdict, record.Message, verdict, message)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changes != changes {
		b.t.Errorf("told of %d changes, want %d", b.changes, changes)
	}
}

func TestOneFailureIsNoVerdictAndTwoInARowAre(t *testing.T) {
	onBench(t, func(b *bench) {
		b.checker.answer(health.Nodes{}, errors.New("refused"))
		b.Keep(demo)
		b.checked()
		b.expect(health.Unseen, "", 0)
		b.checker.answer(health.Nodes{Joined: 4, Ready: 4}, nil)
		b.checked()
		b.expect(health.Reachable, "", 1)
		b.checker.answer(health.Nodes{}, errors.New("refused"))
		b.checked()
		b.expect(health.Reachable, "", 1)
		b.checked()
		b.expect(health.Unreachable, "refused", 2)
		b.checked()
		b.expect(health.Unreachable, "refused", 2)
		b.checker.answer(health.Nodes{Joined: 4, Ready: 4}, nil)
		b.checked()
		b.expect(health.Reachable, "", 3)
	})
}

func TestFailuresAreCountedAnewAfterASuccess(t *testing.T) {
	onBench(t, func(b *bench) {
		b.Keep(demo)
		for range 3 {
			b.checker.answer(health.Nodes{}, errors.New("refused"))
			b.checked()
			b.checker.answer(health.Nodes{Joined: 4, Ready: 4}, nil)
			b.checked()
		}
		b.expect(health.Reachable, "", 1)
	})
}

func TestWithoutCredentialsNothingIsKnown(t *testing.T) {
	onBench(t, func(b *bench) {
		b.checker.answer(health.Nodes{}, &health.CredentialsError{Secret: "fleet/demo-kubeconfig", Reason: "does not exist"})
		b.Keep(demo)
		b.checked()
		b.checked()
		b.expect(health.Unknown, "the Secret fleet/demo-kubeconfig does not exist", 1)
	})
}

func TestACheckThatDidNotComeAboutCountsForNothing(t *testing.T) {
	onBench(t, func(b *bench) {
		b.Keep(demo)
		b.checked()
		b.checker.answer(health.Nodes{}, fmt.Errorf("%w: no management API", health.ErrNotChecked))
		b.checked()
		b.checked()
		b.checked()
		b.expect(health.Reachable, "", 1)
	})
}

func TestNodesThatChangeAreTold(t *testing.T) {
	onBench(t, func(b *bench) {
		b.Keep(demo)
		b.checked()
		b.checked()
		b.expect(health.Reachable, "", 1)
		b.checker.answer(health.Nodes{Joined: 4, Ready: 3, Wrong: "w1 is not ready"}, nil)
		b.checked()
		b.expect(health.Reachable, "", 2)
	})
}

func TestClustersAreCheckedOncePerInterval(t *testing.T) {
	onBench(t, func(b *bench) {
		b.Keep(demo)
		time.Sleep(interval * 7 / 10)
		synctest.Wait()
		if n := b.checker.counted(); n != 0 {
			t.Errorf("%d checks right after it was kept, want none", n)
		}
		time.Sleep(100 * interval)
		synctest.Wait()
		b.Keep(demo) // does not disturb
		if n := b.checker.counted(); n < 90 || n > 110 {
			t.Errorf("%d checks in 100 intervals", n)
		}
	})
}

func TestADroppedClusterIsForgottenAndKeptAnewAfterAnInterval(t *testing.T) {
	onBench(t, func(b *bench) {
		b.Keep(demo)
		b.checked()
		b.Drop(demo.Key)
		b.expect(health.Unseen, "", 1)
		time.Sleep(10 * interval)
		synctest.Wait()
		if n := b.checker.counted(); n != 0 {
			t.Errorf("%d checks of a dropped cluster", n)
		}
		// The time of the first keeping must not be that of the second one's check.
		b.Keep(demo)
		time.Sleep(interval / 2)
		b.Drop(demo.Key)
		b.Keep(demo)
		time.Sleep(interval * 7 / 10)
		synctest.Wait()
		if n := b.checker.counted(); n != 0 {
			t.Errorf("%d checks too early", n)
		}
		b.checked()
		b.expect(health.Reachable, "", 2)
	})
}

func TestACheckThatBeganBeforeADropCountsForNothing(t *testing.T) {
	onBench(t, func(b *bench) {
		block := make(chan struct{})
		b.checker.block = block
		b.Keep(demo)
		b.checked()
		b.Drop(demo.Key)
		b.Keep(demo)
		close(block)
		synctest.Wait()
		b.expect(health.Unseen, "", 0)
	})
}
