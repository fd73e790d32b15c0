package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	loopback = "127.0.0.1"
	// serviceCIDR only satisfies the API server: nothing answers there. firstServiceIP is its first address.
	serviceCIDR    = "10.0.0.0/24"
	firstServiceIP = "10.0.0.1"

	clientSocket = "client.sock"
	peerSocket   = "peer.sock"

	// startLimit bounds a start. It takes a few seconds; on a machine busy with other things it may take ten times as long.
	startLimit = 2 * time.Minute
	// pollEvery is how often a socket file or /readyz is looked at while starting.
	pollEvery = 20 * time.Millisecond

	etcdGrace = 5 * time.Second
)

// servedAPIs leaves out every API that neither Kubewright uses nor the API server itself. Registering and describing the others is half of
// the time that a start takes.
const servedAPIs = "api/all=false,v1=true,events.k8s.io/v1=true,apiextensions.k8s.io/v1=true,apiregistration.k8s.io/v1=true," +
	"admissionregistration.k8s.io/v1=true,authentication.k8s.io/v1=true,authorization.k8s.io/v1=true,coordination.k8s.io/v1=true," +
	"discovery.k8s.io/v1=true,networking.k8s.io/v1=true"

// Options of an embedded control plane.
type Options struct {
	// Dir holds the state.
	Dir *Dir
	// Programs to run.
	Programs Programs
	// Command is what this process was asked for, e.g. up; others that find the directory in use are told.
	Command string
}

// ControlPlane is a running etcd and API server with the CRDs of this project installed.
type ControlPlane struct {
	dir         *Dir
	lock        *lock
	reservation *reservation
	etcd        *process
	apiServer   *process
	config      *rest.Config

	stopOnce sync.Once
	stopErr  error
}

// Start brings the control plane up on the state of the directory and waits until it answers and knows the kinds of this project.
// It returns a *LockedError when another process uses the directory, and a *ProgramError when a program ends. The children end
// with this process, also when it is killed.
func Start(ctx context.Context, o Options) (_ *ControlPlane, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c := &ControlPlane{dir: o.Dir}
	if c.lock, err = o.Dir.lock(o.Command); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	// A file of a start before names a port that may be somebody else's now.
	if err := removeFiles(o.Dir.AdminKubeconfig(), filepath.Join(o.Dir.runPath(), clientSocket), filepath.Join(o.Dir.runPath(), peerSocket)); err != nil {
		return nil, err
	}
	if err := o.Dir.dropOtherPrograms(o.Programs); err != nil {
		return nil, err
	}
	if err := o.Programs.verify(); err != nil {
		return nil, err
	}
	if err := o.Dir.record(o.Programs); err != nil {
		return nil, err
	}
	creds, err := o.Dir.prepareCredentials(time.Now())
	if err != nil {
		return nil, err
	}
	if err := o.Dir.dropUnfinishedEtcd(); err != nil {
		return nil, err
	}
	if err := c.startEtcd(ctx, o.Programs.Etcd); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(ctx, o.Programs.APIServer, creds); err != nil {
		return nil, err
	}
	if err := o.Dir.keepEtcd(); err != nil {
		return nil, err
	}
	if err := installCRDs(ctx, c.config); err != nil {
		return nil, err
	}
	kubeconfig, err := kubeconfigFor(c.config)
	if err != nil {
		return nil, err
	}
	if err := WriteFile(o.Dir.AdminKubeconfig(), kubeconfig); err != nil {
		return nil, err
	}
	return c, nil
}

// Config reaches the API server as an administrator. Callers may change the copy they get.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Wait blocks until one of the programs ends, and returns why as a *ProgramError, or until ctx ends, and returns nil.
func (c *ControlPlane) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.etcd.done:
		return c.etcd.failure()
	case <-c.apiServer.done:
		return c.apiServer.failure()
	}
}

// Stop ends both programs in order and gives the directory back. It may be called more than once.
func (c *ControlPlane) Stop() error {
	c.stopOnce.Do(func() {
		if c.apiServer != nil {
			// What it answered for is in etcd. Asked to end, it would take a second for nothing that anybody waits for.
			c.apiServer.kill()
		}
		if c.etcd != nil {
			c.etcd.stop(etcdGrace)
		}
		if c.reservation != nil {
			c.reservation.release()
		}
		c.stopErr = errors.Join(removeFiles(c.dir.AdminKubeconfig()), c.lock.release())
	})
	return c.stopErr
}

// startEtcd starts etcd on Unix sockets in a directory only the owner can enter, so it needs neither ports nor certificates. The
// sockets are named relative to the working directory, because their paths may be 107 bytes long at most.
func (c *ControlPlane) startEtcd(ctx context.Context, path string) (err error) {
	// Advertised only because etcd wants host and port there; a single member is never dialled at them.
	const peerURL, clientURL = "http://" + loopback + ":2380", "http://" + loopback + ":2379"
	args := []string{
		"--name=kubewright",
		"--data-dir=" + c.dir.etcdDataPath(),
		"--listen-client-urls=unix://" + clientSocket,
		"--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=unix://" + peerSocket,
		"--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=kubewright=" + peerURL,
		// A single member elects itself; the usual second of waiting for others would only delay the start.
		"--heartbeat-interval=10",
		"--election-timeout=100",
		"--log-level=warn",
	}
	c.etcd, err = startProcess(etcdProgram, path, args, c.dir.runPath(), c.dir.LogPath(etcdProgram))
	if err != nil {
		return err
	}
	socket := filepath.Join(c.dir.runPath(), clientSocket)
	return c.await(ctx, c.etcd, "open its socket", func() error {
		_, err := os.Stat(socket)
		return err
	})
}

func (c *ControlPlane) startAPIServer(ctx context.Context, path string, creds *credentials) (err error) {
	if c.reservation, err = reservePort(); err != nil {
		return err
	}
	port := strconv.Itoa(c.reservation.port)
	args := []string{
		"--etcd-servers=unix://" + clientSocket,
		"--bind-address=" + loopback,
		// Given, or the API server looks for a default route, which an air-gapped machine may not have.
		"--advertise-address=" + loopback,
		"--secure-port=" + port,
		"--permit-port-sharing=true",
		"--tls-cert-file=" + c.dir.pkiPath(servingFile),
		"--tls-private-key-file=" + c.dir.pkiPath(servingKeyFile),
		"--client-ca-file=" + c.dir.pkiPath(caFile),
		"--anonymous-auth=false",
		// Whoever gets in holds a certificate of the authority in this directory, which makes administrators. Roles would add a second to
		// each start.
		"--authorization-mode=AlwaysAllow",
		"--runtime-config=" + servedAPIs,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.dir.pkiPath(serviceAccountFile),
		"--service-account-signing-key-file=" + c.dir.pkiPath(serviceAccountFile),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--endpoint-reconciler-type=none",
		// No pods, volumes, ingresses or node certificates here: what guards them would only watch for nothing.
		"--disable-admission-plugins=ServiceAccount,PodSecurity,Priority,LimitRanger,ResourceQuota,TaintNodesByCondition," +
			"DefaultTolerationSeconds,DefaultStorageClass,StorageObjectInUseProtection,PersistentVolumeClaimResize,RuntimeClass," +
			"DefaultIngressClass,CertificateApproval,CertificateSigning,ClusterTrustBundleAttest,CertificateSubjectRestriction",
		"--enable-priority-and-fairness=false",
		// Few ask here, and what they ask first would wait a second for a cache of it.
		"--watch-cache=false",
		"--profiling=false",
		"--v=0",
	}
	c.apiServer, err = startProcess(apiServerProgram, path, args, c.dir.runPath(), c.dir.LogPath(apiServerProgram))
	if err != nil {
		return err
	}
	c.config = &rest.Config{
		Host: "https://" + net.JoinHostPort(loopback, port),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: creds.ca, CertData: creds.admin.Cert, KeyData: creds.admin.Key,
		},
		// One user on one machine: being held back by the client's own limit has no use.
		QPS: -1,
	}
	clients, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("make a client for the embedded API server: %w", err)
	}
	return c.await(ctx, c.apiServer, "become ready", func() error {
		return clients.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// await polls until probe succeeds, the child ends, or ctx does.
func (c *ControlPlane) await(ctx context.Context, p *process, what string, probe func() error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure()
		case <-c.etcd.done:
			return c.etcd.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait for the embedded %s to %s: %w (last answer: %w); its log is %s", p.program, what, ctx.Err(), err, p.logPath)
		case <-ticker.C:
		}
	}
}

func removeFiles(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an earlier start left: %w", err)
		}
	}
	return nil
}
