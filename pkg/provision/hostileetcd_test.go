package provision

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
)

// hostileEtcd answers with what a test gives it; nil means what an honest member of one answers.
type hostileEtcd struct {
	pb.UnimplementedClusterServer
	pb.UnimplementedMaintenanceServer

	list   *pb.MemberListResponse
	alarms *pb.AlarmResponse
	status *pb.StatusResponse
	// raw answers in place of all that, by HTTP/2 alone: gRPC's own server keeps to the bounds that a client tells of.
	raw http.HandlerFunc
	// asked counts how often that was asked for: the client tries again, each time over a new connection, until the time for a question is over.
	asked atomic.Int64
}

func (e *hostileEtcd) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if e.list != nil {
		return e.list, nil
	}
	return &pb.MemberListResponse{Members: []*pb.Member{{ID: 1, Name: "n1", ClientURLs: []string{"https://127.0.0.1:2379"}}}}, nil
}

func (e *hostileEtcd) Alarm(context.Context, *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if e.alarms != nil {
		return e.alarms, nil
	}
	return &pb.AlarmResponse{}, nil
}

func (e *hostileEtcd) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	if e.status != nil {
		return e.status, nil
	}
	return &pb.StatusResponse{Leader: 1}, nil
}

// serve listens on a port of this machine, and returns its address.
func (e *hostileEtcd) serve(t *testing.T, authority pki.KeyPair) string {
	t.Helper()
	pair, err := authority.Sign(pki.Leaf{CommonName: "n1", IPs: []string{"127.0.0.1"}, Server: true, Lifetime: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if e.raw != nil {
		counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e.asked.Add(1)
			e.raw(w, r)
		})
		server := &http.Server{Handler: counted, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}}
		go func() { _ = server.ServeTLS(listener, "", "") }()
		t.Cleanup(func() { _ = server.Close() })
		return listener.Addr().String()
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	pb.RegisterClusterServer(server, e)
	pb.RegisterMaintenanceServer(server, e)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// leadingTo is what a helper answers whose connections all lead to one address.
func leadingTo(address string) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		hostapi.PathHello: func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(hostapi.HelloResponse{Protocol: hostapi.ProtocolVersion, Digest: helperFile().Digest.String(), Facts: &hostapi.Facts{}, Dials: true})
		},
		hostapi.PathDial: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			far, err := net.Dial("tcp", address) //nolint:noctx // it ends with the other side
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			near, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(near, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", hostapi.DialProtocol)
			go func() {
				_, _ = io.Copy(far, buffered)
				_ = far.Close()
			}()
			_, _ = io.Copy(near, far)
			_ = near.Close()
		},
	}
}

func TestAHostileEtcdIsNotListenedToForLongerThanItWasAsked(t *testing.T) {
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 32<<20)
	for _, test := range []struct {
		name string
		etcd *hostileEtcd
		says string // in the error, or in what is wrong with the member
	}{
		{name: "an honest one", etcd: &hostileEtcd{}},
		{name: "a million members", etcd: &hostileEtcd{list: &pb.MemberListResponse{Members: slices.Repeat([]*pb.Member{{}}, 1<<20)}}, says: "larger than max"},
		{name: "more members than any cluster has", etcd: &hostileEtcd{list: &pb.MemberListResponse{Members: slices.Repeat([]*pb.Member{{}}, maxMembers+1)}}, says: "etcd tells of 33"},
		{name: "a name that does not end", etcd: &hostileEtcd{list: &pb.MemberListResponse{Members: []*pb.Member{{Name: long}}}}, says: "larger than max"},
		{name: "a million alarms", etcd: &hostileEtcd{alarms: &pb.AlarmResponse{Alarms: slices.Repeat([]*pb.AlarmMember{{}}, 1<<20)}}, says: "larger than max"},
		{name: "a trouble that does not end", etcd: &hostileEtcd{status: &pb.StatusResponse{Leader: 1, Errors: []string{long}}}, says: "larger than max"},
		{name: "an error that does not end", etcd: &hostileEtcd{raw: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "13")
			w.Header().Set("Grpc-Message", long[:8<<20])
		}}, says: "deadline exceeded"},
		{name: "headers that do not end", etcd: &hostileEtcd{raw: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			for i := range 64 << 10 {
				w.Header().Set(fmt.Sprintf("X-%d", i), long[:100])
			}
		}}, says: "deadline exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sessionsWith(t, map[string]*machine{"n1": liar(t, leadingTo(test.etcd.serve(t, authorities.Etcd)), nil)})
			if _, err := s.helper(t.Context(), "n1"); err != nil {
				t.Fatal(err)
			}
			k := &kube{sessions: s, now: time.Now, cluster: &desired.Cluster{Authorities: authorities, Hosts: []desired.Host{{Name: "n1", Address: "127.0.0.1", Role: v1alpha1.ControlPlaneRole}}}}
			said := ""
			memory := allocated(func() {
				list, err := k.members(t.Context())
				switch {
				case err != nil:
					said = err.Error()
				case len(list) == 1:
					said = list[0].Problem
				}
			})
			if test.says == "" && said != "" || !strings.Contains(said, test.says) {
				t.Errorf("it came to %.300q, want %q", said, test.says)
			}
			if len(said) > 4<<10 {
				t.Errorf("%d bytes are said of it", len(said))
			}
			// The other side is of this process, and makes a few copies of what it sends.
			if most := uint64(mostTaken) + 4*uint64(len(long)); memory/uint64(max(test.etcd.asked.Load(), 1)) > most {
				t.Errorf("it took %d MiB in %d tries", memory>>20, test.etcd.asked.Load())
			}
			t.Logf("%d MiB, %d tries: %.200s", memory>>20, test.etcd.asked.Load(), said)
		})
	}
}
