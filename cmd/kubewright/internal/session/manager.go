package session

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubewright/kubewright/controllers"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/provision"
)

// stopLimit is how long operations get to come to a safe point when the process is to end. What they do on hosts goes on there
// in any case, and is found again.
const stopLimit = 20 * time.Second

// ManagerOptions of controllers in this process.
type ManagerOptions struct {
	// Runner carries operations out.
	Runner provision.Runner
	// BundleRoots are the directories bundles may be taken from; CacheDir is where verified ones are remembered.
	BundleRoots []string
	CacheDir    string
	// Sources says where else bundles may come from; the zero value allows files below BundleRoots only.
	Sources offlinemanifest.Sources
	// Addresses that hosts and API servers may have.
	Addresses addresses.Policy
	// MaxOperations and MaxComparisons at a time; see controllers.Options.
	MaxOperations, MaxComparisons int
	// Log receives what controllers say.
	Log logr.Logger
	// MetricsAddress and HealthAddress to listen on; empty listens nowhere.
	MetricsAddress string
	HealthAddress  string
	// LeaderElectionNamespace elects one of several managers there; empty elects nobody.
	LeaderElectionNamespace string
}

// NewManager makes a manager with all controllers, not started. The returned function gives back what it holds, after it has ended.
func NewManager(api *rest.Config, scheme *runtime.Scheme, o ManagerOptions) (ctrl.Manager, func(), error) {
	metrics, health := o.MetricsAddress, o.HealthAddress
	if metrics == "" {
		metrics = "0"
	}
	if health == "" {
		health = "0"
	}
	limit, always := stopLimit, true
	mgr, err := ctrl.NewManager(api, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  o.Log,
		BaseContext:             func() context.Context { return ctrl.LoggerInto(context.Background(), o.Log) },
		Metrics:                 server.Options{BindAddress: metrics},
		HealthProbeBindAddress:  health,
		LeaderElection:          o.LeaderElectionNamespace != "",
		LeaderElectionNamespace: o.LeaderElectionNamespace,
		LeaderElectionID:        "kubewright.io",
		// The lease is given back on the way out, so the next one need not wait for it to expire.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &limit,
		// The names are checked over the whole process, where tests run one manager after the other.
		Controller: config.Controller{SkipNameValidation: &always},
		Cache:      cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make the controllers' manager: %w", err)
	}
	store := offlinemanifest.NewStore(o.CacheDir)
	if err := controllers.Setup(mgr, controllers.Options{
		Runner: o.Runner, Bundles: store, BundleRoots: o.BundleRoots, Sources: o.Sources, Addresses: o.Addresses,
		MaxConcurrentOperations: o.MaxOperations, MaxConcurrentComparisons: o.MaxComparisons,
	}); err != nil {
		store.Close()
		return nil, nil, err
	}
	return mgr, store.Close, nil
}
