package controllers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/controllers/cluster/ways"
	"github.com/kubewright/kubewright/controllers/host"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/provision"
)

const (
	// DefaultConcurrentOperations is how many operations that may change something run at a time unless told otherwise.
	DefaultConcurrentOperations = 10
	// DefaultConcurrentComparisons is how many Checks and plans run at a time, beside those operations, unless told otherwise.
	DefaultConcurrentComparisons = 5
	// defaultProgressInterval is how often the status of something under way is written at most.
	defaultProgressInterval = time.Second
	// defaultHealthInterval is how often a cluster at rest is looked at unless told otherwise.
	defaultHealthInterval = 30 * time.Second
)

// Options of Setup.
type Options struct {
	// Runner carries operations out. Required.
	Runner provision.Runner
	// Bundles keeps the verified bundles open (offlinemanifest.NewStore). Required.
	Bundles *offlinemanifest.Store
	// BundleRoots are the directories, absolute, below which OfflineManifests may take bundles from. Empty allows none.
	BundleRoots []string
	// Sources says where else bundles may come from, into which store, and how. Its Roots are those of BundleRoots.
	Sources offlinemanifest.Sources
	// Addresses that hosts and API servers may have; the zero value refuses this very machine, the link, and metadata of clouds.
	Addresses addresses.Policy
	// MaxConcurrentOperations over all clusters that may change something; 10 when zero.
	MaxConcurrentOperations int
	// MaxConcurrentComparisons over all clusters: Checks, and what only makes a plan; 5 when zero.
	MaxConcurrentComparisons int
	// ProgressInterval is how often the status of an operation under way is written at most; 1 s when zero.
	ProgressInterval time.Duration
	// HealthInterval is how often a cluster at rest is looked at; 30 s when zero.
	HealthInterval time.Duration
	// HealthChecker looks at a cluster; through its API server when nil.
	HealthChecker health.Checker
	// Now is the time of day; the machine's when nil.
	Now func() time.Time
}

// Setup registers all controllers with a manager, before it starts. The manager's scheme must know kubewright.io/v1alpha1 and
// Kubernetes' own kinds. The manager's cache need not, and should not, hold Secrets: controllers read them live.
func Setup(mgr ctrl.Manager, options Options) error {
	switch {
	case options.Runner == nil:
		return errors.New("set up controllers: no Runner was given")
	case options.Bundles == nil:
		return errors.New("set up controllers: no store of bundles was given")
	}
	roots := make([]string, 0, len(options.BundleRoots))
	for _, root := range options.BundleRoots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("set up controllers: the bundle root %q is not an absolute path", root)
		}
		roots = append(roots, filepath.Clean(root))
	}
	options.Sources.Roots = roots
	sources, err := options.Sources.WithDefaults()
	if err != nil {
		return fmt.Errorf("set up controllers: %w", err)
	}
	if options.MaxConcurrentOperations == 0 {
		options.MaxConcurrentOperations = DefaultConcurrentOperations
	}
	if options.MaxConcurrentComparisons == 0 {
		options.MaxConcurrentComparisons = DefaultConcurrentComparisons
	}
	if options.ProgressInterval == 0 {
		options.ProgressInterval = defaultProgressInterval
	}
	if options.HealthInterval == 0 {
		options.HealthInterval = defaultHealthInterval
	}
	if options.HealthChecker == nil {
		options.HealthChecker = &health.API{
			Secrets: mgr.GetAPIReader(), Addresses: options.Addresses,
			Ways: &ways.Hosts{Live: mgr.GetAPIReader(), Addresses: options.Addresses, Bundles: options.Bundles},
		}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if err := index.Install(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("set up controllers: %w", err)
	}
	waker := wake.New()
	monitor := health.New(options.HealthChecker, options.HealthInterval, waker.Wake)
	if err := mgr.Add(monitor); err != nil {
		return fmt.Errorf("set up the watch over clusters at rest: %w", err)
	}
	for _, controller := range []struct {
		name  string
		setup interface{ Setup(ctrl.Manager) error }
	}{
		{"OfflineManifest", &offlinemanifest.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Store: options.Bundles, Sources: sources,
			Events: mgr.GetEventRecorder("kubewright-offlinemanifest"), Now: options.Now,
		}},
		{"Host", &host.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}},
		{"ClusterOperation", &operation.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Runner: options.Runner, Bundles: options.Bundles, Addresses: options.Addresses,
			MaxConcurrent: options.MaxConcurrentOperations, MaxComparisons: options.MaxConcurrentComparisons, ProgressInterval: options.ProgressInterval,
			Events: mgr.GetEventRecorder("kubewright-operation"), Now: options.Now,
		}},
		{"Cluster", &cluster.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: mgr.GetEventRecorder("kubewright-cluster"), Now: options.Now, Health: monitor, Wake: waker,
		}},
	} {
		if err := controller.setup.Setup(mgr); err != nil {
			return fmt.Errorf("set up the controller of %s: %w", controller.name, err)
		}
	}
	return nil
}
