package provision

import (
	"runtime"
	"testing"
	"time"
)

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
