package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

const (
	// etcdTimeout bounds one question to one member.
	etcdTimeout = 5 * time.Second
	// maxEtcdAnswer bounds its answer: a member is described in some 200 bytes. The client's own bound is 2 GiB.
	maxEtcdAnswer = 64 << 10
	// maxEtcdHeader bounds the headers of its answer, with the text of an error. The client's own bound is 16 MiB.
	maxEtcdHeader = 16 << 10
	// maxMembers is how many members are asked how they are. Kubernetes' documentation goes up to five.
	maxMembers = 32
)

// member is one member of etcd as seen now.
type member struct {
	plan.Member
	id     uint64
	leader bool
	// client is how it is reached, from any control plane.
	client string
}

// members asks etcd, through the first control plane whose member answers, who belongs to it, and every member how it is.
func (k *kube) members(ctx context.Context) ([]member, error) {
	config, err := k.etcdTLS()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, h := range k.cluster.ControlPlanes() {
		list, err := k.membersVia(ctx, config, h)
		if err == nil {
			return list, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
	}
	return nil, fmt.Errorf("no etcd member answers: %w", errors.Join(errs...))
}

func (k *kube) membersVia(ctx context.Context, config *tls.Config, via desired.Host) ([]member, error) {
	client, err := k.etcdClient(config, via, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	listCtx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := client.MemberList(listCtx)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	if n := len(response.Members); n > maxMembers {
		return nil, fmt.Errorf("list members: etcd tells of %d, which no cluster has", n)
	}
	alarms, err := client.AlarmList(listCtx)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	list := make([]member, 0, len(response.Members))
	for _, m := range response.Members {
		one := member{Member: plan.Member{Name: k.hostOf(m.Name, m.PeerURLs), Learner: m.IsLearner, OutOfSpace: outOfSpace(alarms.Alarms, m.ID)}, id: m.ID}
		if len(m.ClientURLs) == 0 {
			one.Unstarted, one.Problem = true, "has not started"
		} else {
			one.client = m.ClientURLs[0]
			leader, err := k.status(ctx, config, via, one.client)
			one.leader = leader == m.ID
			if err != nil {
				one.Problem = err.Error()
			}
		}
		list = append(list, one)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// memberServes asks the member of one control plane, and no other, whether it takes part: it lists members in agreement with the rest only.
func (k *kube) memberServes(ctx context.Context, host string) error {
	config, err := k.etcdTLS()
	if err != nil {
		return err
	}
	client, err := k.etcdClient(config, desired.Host{Name: host}, "127.0.0.1")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	_, err = client.MemberList(ctx)
	return err
}

// hostOf names the host a member is of. A member has its host's name only once it has started, and kubeadm knows members by their address
// alone: one that bears the name of no host is that of the host at its address.
func (k *kube) hostOf(name string, peers []string) string {
	at := map[string]string{} // names by address
	for _, l := range k.leaving {
		at[l.Address] = l.Name
	}
	for _, h := range k.cluster.Hosts {
		at[h.Address] = h.Name
	}
	if slices.Contains(slices.Collect(maps.Values(at)), name) {
		return name
	}
	for _, url := range peers {
		address, _, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
		if host, ok := at[address]; ok && err == nil {
			return host
		}
	}
	return name
}

// status asks one member, at its own address but from the host via, whom it follows; the error says that it has no leader or other
// troubles.
func (k *kube) status(ctx context.Context, config *tls.Config, via desired.Host, url string) (leader uint64, err error) {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		return 0, fmt.Errorf("client URL %q: %w", url, err)
	}
	client, err := k.etcdClient(config, via, host)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	status, err := client.Status(ctx, "https://"+net.JoinHostPort(host, strconv.Itoa(desired.EtcdPort)))
	switch {
	case err != nil:
		return 0, err
	case status.Leader == 0:
		return 0, errors.New("has no leader")
	}
	if problems := troubles(status.Errors); len(problems) > 0 {
		return status.Leader, errors.New(strings.Join(problems, ", "))
	}
	return status.Leader, nil
}

// outOfSpace says whether a member has raised the alarm NOSPACE.
func outOfSpace(alarms []*pb.AlarmMember, member uint64) bool {
	return slices.ContainsFunc(alarms, func(a *pb.AlarmMember) bool { return a.MemberID == member && a.Alarm == pb.AlarmType_NOSPACE })
}

// troubles are what a member tells of itself, but for the alarm NOSPACE: every member tells of that one, whoever raised it, and takes part
// all the same (etcd's server/etcdserver/api/v3rpc, maintenanceServer.Status).
func troubles(said []string) []string {
	return slices.DeleteFunc(slices.Clone(said), func(s string) bool { return strings.Contains(s, "alarm:NOSPACE") })
}

func (k *kube) etcdClient(config *tls.Config, via desired.Host, address string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"https://" + net.JoinHostPort(address, strconv.Itoa(desired.EtcdPort))},
		TLS:         config,
		DialTimeout: etcdTimeout,
		// A request may have no more than an answer, which the client sees to.
		MaxCallRecvMsgSize: maxEtcdAnswer, MaxCallSendMsgSize: maxEtcdAnswer,
		Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithMaxHeaderListSize(maxEtcdHeader), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return k.sessions.dial(ctx, via.Name, hostapi.ServiceEtcd, address)
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the etcd client: %w", err)
	}
	return client, nil
}

func (k *kube) etcdTLS() (*tls.Config, error) {
	cert, err := k.etcdUser().current()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(k.cluster.Authorities.Etcd.Cert) {
		return nil, errors.New("the etcd authority's certificate is not PEM")
	}
	return &tls.Config{Certificates: []tls.Certificate{*cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// planned is what the planner knows of members.
func planned(members []member) []plan.Member {
	var list []plan.Member
	for _, m := range members {
		list = append(list, m.Member)
	}
	return list
}

func (k *kube) awaitEtcd(ctx context.Context, a plan.AwaitEtcd) (engine.Verdict, error) {
	members, err := k.members(ctx)
	if err != nil {
		return unknown(err), nil
	}
	return asAwaited(members, a), nil
}

// asAwaited compares members with those that are awaited.
func asAwaited(members []member, a plan.AwaitEtcd) engine.Verdict {
	verdict := engine.Verdict{State: engine.Done}
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
		if m.Learner {
			verdict.Why = append(verdict.Why, "member "+m.Name+" is still a learner")
		}
		if m.Problem != "" && !slices.Contains(a.LeftOut, m.Name) {
			verdict.Why = append(verdict.Why, "member "+m.Name+": "+m.Problem)
		}
	}
	want := slices.Sorted(slices.Values(a.Members))
	if !slices.Equal(names, want) {
		verdict.Why = append(verdict.Why, fmt.Sprintf("etcd's members are %v, wanted are %v", names, want))
	}
	if len(verdict.Why) > 0 {
		verdict.State = engine.Unknown
	}
	return verdict
}
