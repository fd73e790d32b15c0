package cli

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/controllers"
	"github.com/kubewright/kubewright/pkg/addresses"
)

// managerOptions are the flags of manager.
type managerOptions struct {
	bundleRoots []string
	networks    []string
	cacheDir    string
	metrics     string
	health      string
	namespace   string
	elect       bool
	logLevel    string
	operations  int
	comparisons int
	store       storeOptions
}

func newManager(env Environment) *cobra.Command {
	o := &managerOptions{}
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers against a cluster",
		Long: `Manager runs the controllers against the API server of the cluster it runs in, or of KUBECONFIG. The CRDs must be installed.
Of several managers one is elected to work.`,
		Example: `  kubewright manager --bundle-root /bundles --leader-election-namespace kubewright-system`,
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	cmd.Flags().StringArrayVar(&o.bundleRoots, "bundle-root", nil, "absolute directory that OfflineManifests may take bundles from; may be given more than once")
	cmd.Flags().StringArrayVar(&o.networks, "allow-network", nil,
		"network (CIDR) in which hosts and API servers may be although it is of this machine, of the link, or of a cloud's metadata; may be given more than once")
	o.store.flags(cmd)
	cmd.Flags().StringVar(&o.cacheDir, "cache-dir", "", "private directory that remembers which bundles were verified (default: none, verify at each start)")
	cmd.Flags().StringVar(&o.metrics, "metrics-bind-address", "", "address for metrics, e.g. :8080 (default: none)")
	cmd.Flags().StringVar(&o.health, "health-probe-bind-address", ":8081", "address for /healthz and /readyz; empty for none")
	cmd.Flags().BoolVar(&o.elect, "leader-elect", true, "elect one of several managers")
	cmd.Flags().IntVar(&o.operations, "max-operations", controllers.DefaultConcurrentOperations, "operations that may change something to carry out at a time")
	cmd.Flags().IntVar(&o.comparisons, "max-comparisons", controllers.DefaultConcurrentComparisons, "Checks and plans to carry out at a time, beside those operations")
	cmd.Flags().StringVar(&o.logLevel, "log-level", "info", "how much to log: error, info or debug")
	cmd.Flags().StringVar(&o.namespace, "leader-election-namespace", "", "namespace of the election's Lease (default: the namespace this runs in)")
	return cmd
}

func (o *managerOptions) run(cmd *cobra.Command, env Environment) error {
	for _, root := range o.bundleRoots {
		if !filepath.IsAbs(root) {
			return badInput(fmt.Errorf("--bundle-root %q is not an absolute path", root), "")
		}
	}
	for flag, most := range map[string]int{"--max-operations": o.operations, "--max-comparisons": o.comparisons} {
		if most < 1 {
			return badInput(fmt.Errorf("%s is %d", flag, most), "give a number of at least 1")
		}
	}
	var allowed addresses.Policy
	for _, network := range o.networks {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return badInput(fmt.Errorf("--allow-network %q is not a network", network), "write for example 169.254.10.0/24")
		}
		allowed.Allowed = append(allowed.Allowed, prefix.Masked())
	}
	sources, err := o.store.sources()
	if err != nil {
		return err
	}
	namespace := ""
	if o.elect {
		if namespace, err = o.electionNamespace(); err != nil {
			return badInput(err, "name it with --leader-election-namespace, or turn the election off with --leader-elect=false")
		}
	}
	handler, err := newLogHandler(env.Err, o.logLevel)
	if err != nil {
		return err
	}
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	restConfig, err := config.GetConfig()
	if err != nil {
		return badInput(fmt.Errorf("find the API server: %w", err), "run inside a cluster, or set KUBECONFIG")
	}
	scheme, err := session.Scheme()
	if err != nil {
		return err
	}
	mgr, release, err := session.NewManager(restConfig, scheme, session.ManagerOptions{
		Runner: env.Runner, BundleRoots: o.bundleRoots, CacheDir: o.cacheDir, Sources: sources, Addresses: allowed, Log: log,
		MaxOperations: o.operations, MaxComparisons: o.comparisons,
		MetricsAddress: o.metrics, HealthAddress: o.health, LeaderElectionNamespace: namespace,
	})
	if err != nil {
		return err
	}
	defer release()
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add the readiness check: %w", err)
	}
	return mgr.Start(cmd.Context())
}

// electionNamespace is the one named, or the one this pod runs in.
func (o *managerOptions) electionNamespace() (string, error) {
	if o.namespace != "" {
		return o.namespace, nil
	}
	namespace, ok := podNamespace()
	if !ok {
		return "", fmt.Errorf("find the namespace for leader election: this does not run in a cluster")
	}
	return namespace, nil
}

// podNamespace is the namespace this pod runs in; false when this is no pod.
func podNamespace() (string, bool) {
	// Kubernetes mounts it there beside the pod's token.
	content, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	return string(content), err == nil
}
