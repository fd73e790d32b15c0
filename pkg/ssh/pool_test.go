package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func newPool(t *testing.T) *kssh.Pool {
	t.Helper()
	p, err := kssh.NewPool()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoolSharesOneConnectionForAsLongAsSomebodyHoldsIt(t *testing.T) {
	s := server(t, nil)
	p := newPool(t)
	var wg sync.WaitGroup
	clients := make([]*kssh.Client, 10)
	releases := make([]func(), len(clients))
	for i := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if clients[i], releases[i], err = p.Get(t.Context(), target(s)); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, release := range releases {
		if clients[i] != clients[0] {
			t.Fatal("there are several connections")
		}
		if err := clients[0].Err(); err != nil {
			t.Fatalf("closed after %d of %d releases", i, len(releases))
		}
		release()
		if i < len(releases)-1 {
			release() // the second call must not count
		}
	}
	soon(t, "Done", func() { <-clients[0].Done() })
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
	if got := p.Stats(); got.Connections != 1 || got.BytesSent == 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestPoolReplacesABrokenConnection(t *testing.T) {
	s := server(t, nil)
	p := newPool(t)
	first, release, err := p.Get(t.Context(), target(s))
	if err != nil {
		t.Fatal(err)
	}
	s.DropAll()
	<-first.Done()
	second, releaseSecond, err := p.Get(t.Context(), target(s))
	if err != nil {
		t.Fatal(err)
	}
	defer releaseSecond()
	release() // of the broken one; the new one must survive
	echo(t, second, 1000)
	third, releaseThird, err := p.Get(t.Context(), target(s))
	if err != nil || third != second {
		t.Fatalf("got %v, %v", third, err)
	}
	releaseThird()
}

func TestPoolTriesAgainAfterAFailure(t *testing.T) {
	s := server(t, nil)
	p := newPool(t)
	s.SetFaults(sshtest.Faults{Greeting: []byte{}})
	if _, _, err := p.Get(t.Context(), target(s)); !kssh.IsRetryable(err) {
		t.Fatalf("got %v", err)
	}
	s.SetFaults(sshtest.Faults{})
	_, release, err := p.Get(t.Context(), target(s))
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestPoolDoesNotGiveAConnectionToOtherCredentials(t *testing.T) {
	s := server(t, nil)
	p := newPool(t)
	_, release, err := p.Get(t.Context(), target(s))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	to := target(s)
	to.Auth.Password = "a guess"
	var auth *kssh.AuthError
	if _, _, err := p.Get(t.Context(), to); !errors.As(err, &auth) {
		t.Fatalf("got %v", err)
	}
}

func TestPoolAppliesEverybodysOwnHostKeyPolicy(t *testing.T) {
	s := server(t, nil)
	p := newPool(t)
	first, release, err := p.Get(t.Context(), target(s))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	t.Run("another known key is a changed key though the connection stands", func(t *testing.T) {
		to := target(s)
		to.HostKeys.Known = []string{sshtest.Line(sshtest.NewKey(t).PublicKey())}
		var changed *kssh.HostKeyChangedError
		if _, _, err := p.Get(t.Context(), to); !errors.As(err, &changed) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("a first use records the key of the connection that stands", func(t *testing.T) {
		m := &memory{}
		to := target(s)
		to.HostKeys = m.tofu()
		second, release, err := p.Get(t.Context(), to)
		if err != nil || second != first || len(m.lines) != 1 || m.lines[0] != s.HostKeyLines()[0] {
			t.Fatalf("got %v, recorded %v", err, m.lines)
		}
		release()
	})
	t.Run("a first use records the key of a new connection once", func(t *testing.T) {
		m := &memory{}
		to := target(server(t, nil))
		to.HostKeys = m.tofu()
		_, release, err := p.Get(t.Context(), to)
		if err != nil || len(m.lines) != 1 {
			t.Fatalf("got %v, recorded %v", err, m.lines)
		}
		release()
	})
}

func TestPoolCancelsADialThatNobodyWaitsForAnyMore(t *testing.T) {
	s := server(t, nil)
	s.SetFaults(sshtest.Faults{Silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.Await(t, "the connection is there", func() bool { return s.Open() == 1 })
		cancel()
	}()
	var err error
	soon(t, "Get", func() { _, _, err = newPool(t).Get(ctx, target(s)) })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	s.Await(t, "the connection is closed", func() bool { return s.Open() == 0 })
}

func TestPoolLimitsTheHandshakesThroughOneBastion(t *testing.T) {
	const hosts, limit = 20, 8
	users := map[string]sshtest.User{}
	for i := range hosts {
		users[fmt.Sprintf("u%d", i)] = sshtest.User{Password: hard}
	}
	outer := server(t, nil)
	inner := server(t, func(c *sshtest.Config) { c.Users = users })
	hold := make(chan struct{})
	inner.SetFaults(sshtest.Faults{HoldHandshake: hold})
	bastion := target(outer)
	p := newPool(t)
	var wg sync.WaitGroup
	releases := make(chan func(), hosts)
	for i := range hosts {
		to := target(inner)
		to.User, to.Bastion = fmt.Sprintf("u%d", i), &bastion
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, release, err := p.Get(t.Context(), to)
			if err != nil {
				t.Error(err)
				return
			}
			echo(t, c, 1000)
			releases <- release
		}()
	}
	inner.Await(t, "as many handshakes run as may", func() bool { return inner.Accepted() == limit })
	close(hold)
	wg.Wait()
	close(releases)
	if n := inner.PeakHandshakes(); n > limit {
		t.Errorf("%d handshakes ran at the same time", n)
	}
	if n := outer.Accepted(); n != 1 {
		t.Errorf("%d connections to the bastion were made", n)
	}
	if got := p.Stats(); got.Connections != hosts+1 || got.Sessions != hosts {
		t.Errorf("stats %+v", got)
	}
	for release := range releases {
		release()
	}
	outer.Await(t, "the bastion is let go with the last host", func() bool { return outer.Open() == 0 })
}
