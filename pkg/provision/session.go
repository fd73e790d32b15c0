package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	hostclient "github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// leaseWait is how long a new executor waits for a dead one's helper to notice that its connection is gone.
const leaseWait = 90 * time.Second

// sessions holds at most one connection and one helper session per host, made when first asked for and again when lost.
type sessions struct {
	operation, holder string
	// judge refuses addresses that hosts must not have; nil refuses none.
	judge func(netip.Addr) error
	// peers are the addresses of the cluster that connections from hosts may lead to.
	peers   []string
	access  map[string]HostAccess
	record  func(ctx context.Context, host, key string) error
	bundle  *bundle.Bundle
	release *bundle.Release
	blobs   http.Handler
	pool    *ssh.Pool

	mu    sync.Mutex
	hosts map[string]*session
}

// session is the state of one host. Its lock is held while connecting, so that steps on the same host share the result.
type session struct {
	mu          sync.Mutex
	client      *ssh.Client
	release     func()
	helper      *hostclient.Client
	leased      bool
	connections int64
	past        hostclient.Stats
}

func (s *sessions) of(host string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.hosts[host]
	if !ok {
		one = &session{}
		s.hosts[host] = one
	}
	return one
}

// helper returns the session with the host's helper, connecting if need be.
func (s *sessions) helper(ctx context.Context, host string) (*hostclient.Client, error) {
	return s.reporting(ctx, host, func(string) {})
}

// reporting is helper, and reports how the helper itself gets to a host that does not have it.
func (s *sessions) reporting(ctx context.Context, host string, report func(string)) (*hostclient.Client, error) {
	one := s.of(host)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.helper != nil && one.alive() {
		return one.helper, nil
	}
	one.drop()
	if err := s.connect(ctx, host, one, report); err != nil {
		one.drop()
		return nil, classify(err)
	}
	return one.helper, nil
}

// leased is helper with the host's lease held, which changes need.
func (s *sessions) leased(ctx context.Context, host string) (*hostclient.Client, error) {
	helper, err := s.helper(ctx, host)
	if err != nil {
		return nil, err
	}
	one := s.of(host)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.leased && one.helper == helper {
		return helper, nil
	}
	if _, err := helper.AcquireLease(ctx, leaseWait); err != nil {
		return nil, classify(err)
	}
	one.leased = true
	return helper, nil
}

// connected tells that there is a connection to the host.
func (s *sessions) connected(host string) bool {
	one := s.of(host)
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.client != nil
}

// names lists every host that was connected to.
func (s *sessions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.hosts))
}

// all is every session there is now. A session's lock is waited for outside the lock of the map: it may be held for as long as its
// host takes to connect, and no other host may wait for that.
func (s *sessions) all() map[string]*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.hosts)
}

// dial opens a connection from the host to a service of the cluster, through the helper: sshd need not allow forwarding. Only where the
// cluster's bundle is of an earlier release, whose helper does not know that, sshd is asked.
func (s *sessions) dial(ctx context.Context, host string, service hostapi.Service, address string) (net.Conn, error) {
	one := s.of(host)
	one.mu.Lock()
	helper, client := one.helper, one.client
	one.mu.Unlock()
	if helper == nil || client == nil {
		return nil, fmt.Errorf("host %s: not connected", host)
	}
	req := hostapi.DialRequest{Service: service, Address: address}
	if !helper.Dials() {
		target, err := req.Target(s.peers)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", host, err)
		}
		return client.DialContext(ctx, "tcp", target)
	}
	conn, err := helper.Dial(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", host, err)
	}
	return conn, nil
}

func (one *session) alive() bool {
	select {
	case <-one.helper.Done():
		return false
	case <-one.client.Done():
		return false
	default:
		return true
	}
}

func (one *session) drop() {
	one.dropHelper()
	if one.release != nil {
		one.release()
	}
	one.client, one.release = nil, nil
}

// dropHelper ends the session with the helper and keeps what it cost.
func (one *session) dropHelper() {
	if one.helper != nil {
		stats := one.helper.Stats()
		one.past.Requests += stats.Requests
		one.past.BlobBytesDirect += stats.BlobBytesDirect
		one.past.BlobBytesTunnel += stats.BlobBytesTunnel
		// The session is given up either way; what matters was reported by the call that failed.
		_ = one.helper.Close()
	}
	one.helper, one.leased = nil, false
}

func (s *sessions) connect(ctx context.Context, host string, one *session, report func(string)) error {
	t, err := target(s.access, host, s.record)
	if err != nil {
		return err
	}
	for hop := &t; hop != nil; hop = hop.Bastion {
		hop.Judge = s.judge
	}
	one.connections++
	if one.client, one.release, err = s.pool.Get(ctx, t); err != nil {
		return err
	}
	for placed := false; ; placed = true {
		process, file, err := s.startHelper(ctx, host, one.client, t.Sudo.Mode != ssh.SudoNone, report)
		if err != nil {
			return err
		}
		one.helper, err = hostclient.Connect(ctx, pipe{process}, hostclient.Options{Operation: s.operation, Holder: s.holder, Peers: s.peers, Blobs: s.blobs})
		if err != nil {
			return fmt.Errorf("host %s: start the helper: %w (it said: %q)", host, err, process.Stderr())
		}
		// A name is no digest: the file may have been damaged or exchanged since it was placed. What runs tells what it was read from.
		got := one.helper.HelperDigest()
		if got == file.Digest.String() {
			return nil
		}
		one.dropHelper()
		if placed {
			return &ssh.PlaceError{Endpoint: ssh.Endpoint{Host: host, Address: t.Address}, Path: helperPath(file), Reason: fmt.Sprintf(
				"it was placed with digest %s and has digest %s when it runs; find out what changes files there", file.Digest, got)}
		}
		if err := s.placeHelper(ctx, one.client, file, report); err != nil {
			return err
		}
	}
}

// helperDir holds helpers by digest, so that operations of different versions never share one.
const helperDir = "/var/lib/kubewright-helper"

// helperPath is where a helper is on a host.
func helperPath(file *bundle.File) string {
	return helperDir + "/kubewright-host-" + file.Digest.Encoded()[:32]
}

// startHelper runs the helper, and places it only when the host does not have it: one round trip where it does. A host that has none
// is asked for its platform first, so that nothing is placed on a machine that the bundle is not for. It tells which file it ran.
func (s *sessions) startHelper(ctx context.Context, host string, client *ssh.Client, sudo bool, report func(string)) (*ssh.Process, *bundle.File, error) {
	var last error
	platform := ""
	for i, candidate := range s.release.Platforms {
		if platform != "" && candidate != platform {
			continue
		}
		file, err := s.release.File("kubewright-host", candidate)
		if err != nil {
			return nil, nil, fmt.Errorf("host %s: the bundle holds no host helper: %w", host, err)
		}
		command := ssh.Command{Path: helperPath(file), Args: []string{"serve"}, Sudo: sudo}
		process, err := client.RunHelper(ctx, command)
		if !notThere(err) {
			return process, file, err
		}
		if i == 0 {
			if platform, err = askPlatform(ctx, client); err != nil {
				return nil, nil, err
			}
			if platform != "" && !slices.Contains(s.release.Platforms, platform) {
				return nil, nil, &PlatformError{Host: host, Platform: platform, Version: s.release.KubernetesVersion, Available: s.release.Platforms}
			}
			if platform != "" && candidate != platform {
				continue
			}
		}
		if err := s.placeHelper(ctx, client, file, report); err != nil {
			return nil, nil, err
		}
		if process, err = client.RunHelper(ctx, command); err == nil {
			return process, file, nil
		}
		last = err
	}
	return nil, nil, last
}

// placeHelper puts the helper on the host; a file of that name with other content is replaced.
func (s *sessions) placeHelper(ctx context.Context, client *ssh.Client, file *bundle.File, report func(string)) error {
	reported := int64(-1)
	return client.Place(ctx, ssh.Placement{
		Progress: func(done int64) {
			if mib := done >> 20; mib > reported {
				reported = mib
				report(fmt.Sprintf("placing the helper: %d of %d MiB", mib, file.Size>>20))
			}
		},
		Path: helperPath(file), Digest: file.Digest.Encoded(), Size: file.Size, Mode: 0o755,
		Open: func() (io.ReadCloser, error) {
			blob, err := s.bundle.Blob(file.Digest)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(blob), nil
		},
	})
}

// notThere tells that the login shell or sudo found no program to run: 127 by POSIX, 1 by sudo.
func notThere(err error) bool {
	var exit *ssh.ExitError
	return errors.As(err, &exit) && (exit.Status == 127 || exit.Status == 126 || exit.Status == 1)
}

// pipe makes a process's standard streams one connection.
type pipe struct{ process *ssh.Process }

func (p pipe) Read(b []byte) (int, error)  { return p.process.Stdout.Read(b) }
func (p pipe) Write(b []byte) (int, error) { return p.process.Stdin.Write(b) }
func (p pipe) Close() error {
	p.process.Close()
	return nil
}

// closeAll ends every session; detached commands on hosts go on.
func (s *sessions) closeAll() {
	for _, one := range s.all() {
		one.mu.Lock()
		one.drop()
		one.mu.Unlock()
	}
}

// cost sums up what one host took.
func (s *sessions) cost(host string) (connections int64, stats hostclient.Stats) {
	one := s.of(host)
	one.mu.Lock()
	defer one.mu.Unlock()
	stats = one.past
	if one.helper != nil {
		now := one.helper.Stats()
		stats.Requests += now.Requests
		stats.BlobBytesDirect += now.BlobBytesDirect
		stats.BlobBytesTunnel += now.BlobBytesTunnel
	}
	return one.connections, stats
}

// localAddresses lists our ends of the direct connections: where hosts can reach us, unless something in between translates.
func (s *sessions) localAddresses() []string {
	seen := map[string]bool{}
	var list []string
	for name, one := range s.all() {
		if s.access[name].Host.Spec.BastionRef != nil {
			continue
		}
		one.mu.Lock()
		client := one.client
		one.mu.Unlock()
		if client == nil {
			continue
		}
		if tcp, ok := client.LocalAddr().(*net.TCPAddr); ok && !seen[tcp.IP.String()] {
			seen[tcp.IP.String()] = true
			list = append(list, tcp.IP.String())
		}
	}
	return list
}

// classify gives errors of transport and helper their kind for the engine.
func classify(err error) error {
	var lost *hostclient.LostError
	var held *hostapi.LeaseHeldError
	var resource *hostapi.ResourceError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &lost), errors.As(err, &held):
		return engine.Retryable(err)
	case errors.As(err, &resource):
		return resourceError(err, resource)
	case ssh.IsRetryable(err):
		return engine.Retryable(err)
	}
	return engine.NeedsHuman(err)
}
