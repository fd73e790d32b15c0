package provision

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func TestAHelperIsKnownByItsContentAndNotByItsName(t *testing.T) {
	path := helperPath(helperFile())
	t.Run("the right file is run as it is", func(t *testing.T) {
		m := newMachine(t)
		if _, err := sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
		m.with(func() {
			if m.placed != 0 {
				t.Errorf("it was placed %d times", m.placed)
			}
		})
	})
	t.Run("another file of its name is replaced", func(t *testing.T) {
		m := newMachine(t)
		m.with(func() { m.files[path] = []byte("something else") })
		if _, err := sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
		m.with(func() {
			if m.placed != 1 || !bytes.Equal(m.files[path], helperContent) {
				t.Errorf("placed %d times, the file holds %q", m.placed, m.files[path])
			}
		})
	})
	t.Run("a host on which it never is the right one is refused", func(t *testing.T) {
		m := newMachine(t)
		m.with(func() { m.spoils, m.files[path] = true, []byte("something else") })
		_, err := sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1")
		var place *ssh.PlaceError
		if !errors.As(err, &place) || place.Host != "n1" || place.Path != path || engine.KindOf(err) != engine.KindNeedsHuman {
			t.Errorf("got %v", err)
		}
		m.with(func() {
			if m.placed != 1 {
				t.Errorf("it was placed %d times", m.placed)
			}
		})
	})
}

func TestAHostThatConnectsKeepsNoOtherWaiting(t *testing.T) {
	for name, wait := range map[string]func(*sessions){
		"while addresses are listed": func(s *sessions) { s.localAddresses() },
		"while everything is closed": (*sessions).closeAll,
	} {
		t.Run(name, func(t *testing.T) {
			s := &sessions{hosts: map[string]*session{}}
			slow := s.of("slow")
			slow.mu.Lock()
			began, ended, others := make(chan struct{}), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				close(began)
				wait(s)
			}()
			<-began
			go func() {
				defer close(others)
				// Often enough for the other goroutine to come to its wait meanwhile.
				for range 10000 {
					s.of("other")
					runtime.Gosched()
				}
			}()
			select {
			case <-others:
			case <-time.After(30 * time.Second):
				t.Error("another host waits")
			}
			slow.mu.Unlock()
			<-ended
			<-others
		})
	}
}
