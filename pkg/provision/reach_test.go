package provision

import (
	"bufio"
	"strings"
	"testing"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

func TestServicesOfTheClusterAreReachedThroughTheHelperAndThroughSSHOnlyWhereTheHelperIsOlder(t *testing.T) {
	// Every address of 127.0.0.0/8 is this machine, so the port clashes with nobody's.
	const here = "127.66.6.2"
	greeter(t, here+":6443")
	for name, earlier := range map[string]bool{"through the helper": false, "through sshd, for the helper of an earlier release": true} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.with(func() { m.earlier = earlier })
			s := sessionsWith(t, map[string]*machine{"n1": m})
			if _, err := s.dial(t.Context(), "n1", hostapi.ServiceAPIServer, here); err == nil || !strings.Contains(err.Error(), "n1: not connected") {
				t.Errorf("a host that nobody connected to: %v", err)
			}
			helper, err := s.helper(t.Context(), "n1")
			if err != nil {
				t.Fatal(err)
			}
			if helper.Dials() == earlier {
				t.Fatalf("the helper dials: %t", helper.Dials())
			}
			conn, err := s.dial(t.Context(), "n1", hostapi.ServiceAPIServer, here)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "an API server\n" {
				t.Errorf("got %q, %v", line, err)
			}
			if _, err := s.dial(t.Context(), "n1", hostapi.ServiceAPIServer, "192.0.2.1"); err == nil || !strings.Contains(err.Error(), "192.0.2.1 belongs neither to this host nor to the cluster") {
				t.Errorf("an address that is not the cluster's: %v", err)
			}
		})
	}
}
