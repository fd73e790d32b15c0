package server_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

// echo answers every line on address with the same line until the test ends.
func echo(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

func TestTheHelperConnectsToTheClusterAndToNothingElse(t *testing.T) {
	// Every address of 127.0.0.0/8 is this machine, so ports here clash with nobody's.
	const here = "127.66.6.1"
	h := hosttest.New(t)
	s := h.Connect(t, "op-1", nil, "192.0.2.10", "2001:db8::10")
	echo(t, here+":6443")
	echo(t, here+":2379")
	echo(t, here+":22")

	for _, service := range []api.Service{api.ServiceAPIServer, api.ServiceEtcd} {
		t.Run("the "+string(service)+" of the host is reached", func(t *testing.T) {
			before := s.Stats().Requests
			conn, err := s.Dial(t.Context(), api.DialRequest{Service: service, Address: here})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			answers := bufio.NewReader(conn)
			for _, line := range []string{"a\n", strings.Repeat("b", 1<<20) + "\n"} {
				go func() { _, _ = io.WriteString(conn, line) }()
				if got, err := answers.ReadString('\n'); err != nil || got != line {
					t.Fatalf("got %d bytes and %v, want %d", len(got), err, len(line))
				}
			}
			if n := s.Stats().Requests; n != before {
				t.Errorf("a connection counts as %d requests", n-before)
			}
		})
	}
	t.Run("a service that does not listen is an error that says so", func(t *testing.T) {
		_, err := s.Dial(t.Context(), api.DialRequest{Service: api.ServiceDNS, Address: here})
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	})
	for name, req := range map[string]api.DialRequest{
		"another port by the name of a service":  {Service: "22", Address: here},
		"no service":                             {Address: here},
		"a port behind the address":              {Service: api.ServiceAPIServer, Address: here + ":22"},
		"a name":                                 {Service: api.ServiceAPIServer, Address: "localhost"},
		"no address":                             {Service: api.ServiceAPIServer},
		"every address of the host":              {Service: api.ServiceAPIServer, Address: "0.0.0.0"},
		"the metadata service of a cloud":        {Service: api.ServiceAPIServer, Address: "169.254.169.254"},
		"a host that is not of the cluster":      {Service: api.ServiceAPIServer, Address: "192.0.2.11"},
		"an address of the cluster with a zone":  {Service: api.ServiceEtcd, Address: "2001:db8::10%eth0"},
		"a host of the cluster, mapped to IPv6":  {Service: api.ServiceEtcd, Address: "::ffff:192.0.2.10"},
		"an IPv6 address outside of the cluster": {Service: api.ServiceEtcd, Address: "2001:db8::11"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			conn, err := s.Dial(t.Context(), req)
			var invalid *api.InvalidError
			if !errors.As(err, &invalid) {
				t.Errorf("got %v and %v, want an InvalidError", conn, err)
			}
		})
	}
}

func TestASessionIsNotOpenedForAddressesThatNoNodeHas(t *testing.T) {
	for name, peers := range map[string][]string{
		"the metadata service of a cloud": {"169.254.169.254"},
		"a name":                          {"internal.example"},
		"a network":                       {"192.0.2.0/24"},
		"multicast":                       {"224.0.0.1"},
		"more than a cluster has":         make([]string, api.MaxPeers+1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := api.ValidatePeers(peers); err == nil {
				t.Error("accepted")
			}
		})
	}
}
