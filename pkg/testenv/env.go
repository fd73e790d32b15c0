package testenv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kubewright/kubewright/api/crds"
	"github.com/kubewright/kubewright/api/v1alpha1"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
)

// Env is a running API server with its etcd. Both listen on loopback only, and their data is gone after Stop.
type Env struct {
	// Config reaches the API server as a cluster administrator.
	Config *rest.Config
	// Scheme knows Kubernetes' own kinds, CustomResourceDefinitions and kubewright.io/v1alpha1.
	Scheme *runtime.Scheme
	// Client reads and writes without a cache.
	Client client.WithWatch

	server *envtest.Environment
}

// Option changes how the API server of an Env is started.
type Option func(*envtest.APIServer)

// WithArgument starts it with an argument of its command line.
func WithArgument(name, value string) Option {
	return func(a *envtest.APIServer) { a.Configure().Set(name, value) }
}

// New starts an Env for one test and stops it when the test ends. It fails the test, and never skips it, when the programs are
// missing; the message says how to build them.
func New(t testing.TB, options ...Option) *Env {
	t.Helper()
	env, err := Start(t.Context(), options...)
	if err != nil {
		t.Fatalf("start an API server for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stop the test's API server: %v", err)
		}
	})
	return env
}

// Start starts an Env, for callers such as TestMain that have no test at hand; they must call Stop. It returns ErrNoAssets
// (wrapped) when the programs are missing.
func Start(ctx context.Context, options ...Option) (*Env, error) {
	assets, err := Assets(ctx)
	if err != nil {
		return nil, err
	}
	definitions, err := crds.All()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}

	ownServer := false
	server := &envtest.Environment{
		UseExistingCluster:    &ownServer,
		BinaryAssetsDirectory: assets,
		CRDs:                  definitions,
		Scheme:                scheme,
		// Seconds on an idle machine; many times that when every core is busy with other tests.
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	// Named explicitly, because envtest lets environment variables of other projects override a mere directory.
	server.ControlPlane.GetAPIServer().Path = filepath.Join(assets, apiServerProgram)
	for _, set := range options {
		set(server.ControlPlane.GetAPIServer())
	}
	server.ControlPlane.Etcd = &envtest.Etcd{Path: filepath.Join(assets, etcdProgram)}

	config, err := server.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s and %s of %s: %w", etcdProgram, apiServerProgram, assets, err), server.Stop())
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a client: %w", err), server.Stop())
	}
	return &Env{Config: config, Scheme: scheme, Client: c, server: server}, nil
}

// Kubeconfig returns a kubeconfig of a cluster administrator, for programs that want a file.
func (e *Env) Kubeconfig() []byte { return e.server.KubeConfig }

// Stop ends both programs and removes their data.
func (e *Env) Stop() error { return e.server.Stop() }
