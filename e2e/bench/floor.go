package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry"
)

// settle bounds each wait of the floor.
const settle = "300s"

// floor installs by a script that knows the hosts and takes every shortcut a good administrator would: no checks beforehand, nothing
// verified, everything in parallel that can be.
func (b *bench) floor(ctx context.Context, fleet *hosts.Fleet, opened *bundle.Bundle) error {
	return b.withFloor(ctx, fleet, opened, version, func(f *floor) error {
		load := loadAverage()
		b.say("==> scripted kubeadm, load average %s", load)
		f.began = time.Now()
		if err := f.run(ctx); err != nil {
			return err
		}
		b.results.floor = measured(f.began, load, "")
		b.results.floor.parts = f.marks
		b.say("    %s", b.results.floor.took)
		return nil
	})
}

// withFloor serves the bundle's images while do installs a version and goes on with it.
func (b *bench) withFloor(ctx context.Context, fleet *hosts.Fleet, opened *bundle.Bundle, version string, do func(*floor) error) (err error) {
	release, err := opened.Release(version)
	if err != nil {
		return err
	}
	handler, err := registry.New(registry.Options{}, registry.FromBundle(opened))
	if err != nil {
		return err
	}
	server, err := registry.Listen(net.JoinHostPort(fleet.Gateway.String(), "0"), handler)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	defer func() {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_ = server.Shutdown(ended)
		if broken := <-served; broken != nil {
			err = errors.Join(err, broken)
		}
	}()
	over, err := overrides(fleet)
	if err != nil {
		return err
	}
	keys, err := newSecrets()
	if err != nil {
		return err
	}
	f := &floor{
		fleet: fleet, bundle: opened, release: release, version: version, registry: "http://" + server.Addr().String(),
		over: over, secrets: keys, log: io.Discard, initialised: make(chan struct{}),
	}
	if b.verbose {
		f.log = &lockedWriter{w: b.out}
	}
	return do(f)
}

type floor struct {
	fleet    *hosts.Fleet
	bundle   *bundle.Bundle
	release  *bundle.Release
	version  string
	registry string
	over     map[string]any
	secrets  secrets
	log      io.Writer
	began    time.Time
	// initialised is closed when joins may begin; caHash is set before.
	initialised chan struct{}
	caHash      string

	mutex sync.Mutex
	marks []string
}

func (f *floor) mark(what string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.marks = append(f.marks, fmt.Sprintf("%s %.1f", what, time.Since(f.began).Seconds()))
}

func (f *floor) run(ctx context.Context) error {
	o := options()
	remotes, seed, err := f.connect(ctx, append(o.ControlPlanes, o.Workers...))
	defer func() {
		for _, r := range remotes {
			_ = r.client.Close()
		}
	}()
	if err != nil {
		return err
	}
	return f.together(ctx, remotes, seed)
}

// connect opens a connection to each host; the first control plane is the seed. What was opened is returned with an error as well.
func (f *floor) connect(ctx context.Context, names []string) (remotes []*remote, seed *remote, err error) {
	o := options()
	for _, name := range names {
		h, err := f.fleet.Host(name)
		if err != nil {
			return remotes, nil, err
		}
		r, err := dial(ctx, f.fleet, h, slices.Contains(o.ControlPlanes, name), f.log)
		if err != nil {
			return remotes, nil, err
		}
		remotes = append(remotes, r)
		if name == o.ControlPlanes[0] {
			seed = r
		}
	}
	return remotes, seed, nil
}

// together installs on all hosts at once and waits for the cluster.
func (f *floor) together(ctx context.Context, remotes []*remote, seed *remote) error {
	group, together := errgroup.WithContext(ctx)
	for _, r := range remotes {
		group.Go(func() error {
			if r == seed {
				return f.init(together, r)
			}
			return f.join(together, r, seed.Host)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return f.settled(ctx, seed)
}

// prepare puts everything on a host. Images are pulled while the second half of the files is copied.
func (f *floor) prepare(ctx context.Context, r *remote) error {
	items, err := runtimeFiles(f.bundle, f.release, f.registry, fixture.CgroupV1())
	if err != nil {
		return err
	}
	if err := r.copyFiles(ctx, items); err != nil {
		return fmt.Errorf("copy containerd: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := r.script(ctx, "systemctl daemon-reload\nsystemctl enable -q --now containerd\n"+pullScript(images(f.release, r.controlPlane)))
		return wrap("pull images", err)
	})
	group.Go(func() error {
		return wrap("copy files", r.copyFiles(ctx, kubernetesFiles(f.bundle, f.release, r.controlPlane)))
	})
	group.Go(func() error {
		_, err := r.script(ctx, kernelScript(r.Address.String()))
		return wrap("set up the kernel", err)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	f.mark(r.Name + " has its content")
	return nil
}

const kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"

// init prepares and starts the first control plane, lets the others join, and applies what the cluster needs meanwhile.
func (f *floor) init(ctx context.Context, r *remote) error {
	if err := f.prepare(ctx, r); err != nil {
		return err
	}
	config, err := initConfig(f.version, r.Host, f.over, f.secrets)
	if err != nil {
		return err
	}
	if _, err := r.script(ctx, kubeadm("init --upload-certs", config)); err != nil {
		return wrap("kubeadm init", err)
	}
	f.mark("init done")
	ca, err := r.script(ctx, "cat /etc/kubernetes/pki/ca.crt")
	if err != nil {
		return err
	}
	if f.caHash, err = caHash(ca); err != nil {
		return err
	}
	close(f.initialised)
	// flannel gets the API server's address, since its Service is not there yet. kubelets' certificates are signed by themselves after
	// a plain kubeadm init, so metrics-server is told not to verify them.
	_, err = r.script(ctx, fmt.Sprintf(`cd /root/manifests
sed 's/^data:$/data:\n  apiserver-host: "%s"\n  apiserver-port: "%d"/' flannel.yaml >flannel-here.yaml
sed 's/--kubelet-certificate-authority=.*/--kubelet-insecure-tls/' metrics-server.yaml >metrics-server-here.yaml
%s apply -f flannel-here.yaml -f metrics-server-here.yaml
`, r.Address, apiPort, kubectl))
	f.mark("manifests applied")
	return wrap("apply manifests", err)
}

// join prepares a host and lets it join as soon as there is something to join.
func (f *floor) join(ctx context.Context, r *remote, first hosts.Host) error {
	if err := f.prepare(ctx, r); err != nil {
		return err
	}
	select {
	case <-f.initialised:
	case <-ctx.Done():
		return ctx.Err()
	}
	config, err := joinConfig(r.Host, first, r.controlPlane, f.over, f.secrets, f.caHash)
	if err != nil {
		return err
	}
	if _, err := r.script(ctx, kubeadm("join", config)); err != nil {
		return wrap("kubeadm join", err)
	}
	f.mark(r.Name + " joined")
	return nil
}

// kubeadm is a script that runs a kubeadm command with a configuration that only root can read.
func kubeadm(command, config string) string {
	return "umask 077\ncat >/root/kubeadm.yaml <<'END-OF-CONFIG'\n" + config + "END-OF-CONFIG\n" +
		"umask 022\nsystemctl daemon-reload\nsystemctl enable -q kubelet\nkubeadm " + command + " --config /root/kubeadm.yaml\n"
}

// settled waits for what Kubewright waits for: nodes Ready, system workloads wholly available, the metrics API answering.
func (f *floor) settled(ctx context.Context, r *remote) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, wait := range []struct{ what, args string }{
		{"nodes Ready", "wait --for=condition=Ready node --all"},
		{"flannel", "-n kube-flannel rollout status daemonset/kube-flannel-ds"},
		{"kube-proxy", "-n kube-system rollout status daemonset/kube-proxy"},
		{"CoreDNS", "-n kube-system rollout status deployment/coredns"},
		{"metrics-server", "-n kube-system rollout status deployment/metrics-server"},
		{"metrics API", "wait --for=condition=Available apiservice/v1beta1.metrics.k8s.io"},
	} {
		group.Go(func() error {
			_, err := r.script(ctx, kubectl+" "+wait.args+" --timeout "+settle+"\n")
			f.mark(wait.what)
			return wrap("wait for "+wait.what, err)
		})
	}
	return group.Wait()
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// lockedWriter lets several hosts print to one place.
type lockedWriter struct {
	mutex sync.Mutex
	w     io.Writer
}

// Write writes whole pieces, one at a time.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.w.Write(p)
}
