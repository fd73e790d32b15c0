package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/plan"
)

// etcdTimeout bounds one question to one member.
const etcdTimeout = 5 * time.Second

// member is one member of etcd as seen now.
type member struct {
	Name    string
	Learner bool
	// Problem is empty for a member that answers and agrees with its own cluster.
	Problem string
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
	list := make([]member, 0, len(response.Members))
	for _, m := range response.Members {
		one := member{Name: m.Name, Learner: m.IsLearner}
		if len(m.ClientURLs) == 0 {
			one.Problem = "has not started"
		} else if err := k.status(ctx, config, via, m.ClientURLs[0]); err != nil {
			one.Problem = err.Error()
		}
		list = append(list, one)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// status asks one member, at its own address but from the host via, whether it has a leader and no errors.
func (k *kube) status(ctx context.Context, config *tls.Config, via desired.Host, url string) error {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		return fmt.Errorf("client URL %q: %w", url, err)
	}
	client, err := k.etcdClient(config, via, host)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	status, err := client.Status(ctx, "https://"+net.JoinHostPort(host, "2379"))
	switch {
	case err != nil:
		return err
	case status.Leader == 0:
		return errors.New("has no leader")
	case len(status.Errors) > 0:
		return errors.New(strings.Join(status.Errors, ", "))
	}
	return nil
}

func (k *kube) etcdClient(config *tls.Config, via desired.Host, address string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"https://" + net.JoinHostPort(address, "2379")},
		TLS:         config,
		DialTimeout: etcdTimeout,
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
			return k.sessions.dial(ctx, via.Name, "tcp", target)
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the etcd client: %w", err)
	}
	return client, nil
}

func (k *kube) etcdTLS() (*tls.Config, error) {
	pair, err := k.cluster.Authorities.Etcd.Sign(pki.Leaf{CommonName: "kubewright-operation", Lifetime: operatorLifetime}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("sign an etcd client certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("load the etcd client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(k.cluster.Authorities.Etcd.Cert) {
		return nil, errors.New("the etcd authority's certificate is not PEM")
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// canGrow refuses to add a member unless every present one is well. A member of the joining host itself that never started is what a
// cut-off attempt left; kubeadm continues with it.
func canGrow(members []member, joining string) error {
	for _, m := range members {
		if m.Problem == "" && !m.Learner {
			continue
		}
		if m.Name == joining || (m.Name == "" && m.Learner) {
			continue
		}
		what := m.Problem
		if what == "" {
			what = "is still a learner"
		}
		return fmt.Errorf("adding an etcd member now could cost quorum: member %s %s; repair it first", m.Name, what)
	}
	return nil
}

func (k *kube) awaitEtcd(ctx context.Context, a plan.AwaitEtcd) (engine.Verdict, error) {
	members, err := k.members(ctx)
	if err != nil {
		return unknown(err), nil
	}
	verdict := engine.Verdict{State: engine.Done}
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
		if m.Learner {
			verdict.Why = append(verdict.Why, "member "+m.Name+" is still a learner")
		}
		if m.Problem != "" {
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
	return verdict, nil
}
