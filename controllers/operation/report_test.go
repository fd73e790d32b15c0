package operation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/provision"
)

// reporterOf reports into an API server that has the cluster demo and the host cp1, and in which answer decides about the n-th write of a
// status.
func reporterOf(t *testing.T, answer func(n int) error, host v1alpha1.HostStatus) (*reporter, client.Client, *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	writes := 0
	c := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(
			&v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo"}},
			&v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cp1"}, Status: host},
		).
		WithStatusSubresource(&v1alpha1.Cluster{}, &v1alpha1.Host{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			writes++
			if err := answer(writes); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		}}).Build()
	r := newReporter(c, c)
	r.patience = wait.Backoff{Duration: time.Millisecond, Steps: 3}
	return r, c, &writes
}

func request() provision.Request {
	return provision.Request{
		Cluster:   v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo"}},
		Operation: v1alpha1.ClusterOperation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo-install-g1-1"}},
	}
}

func TestAnOutcomeIsWrittenWithPatienceThatEnds(t *testing.T) {
	clusters := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "clusters"}
	forbidden := apierrors.NewForbidden(clusters, "demo", errors.New("the manager may not write clusters/status"))
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: clusters.Group, Kind: "Cluster"}, "demo", nil)
	conflict := apierrors.NewConflict(clusters, "demo", errors.New("somebody else was faster"))
	for name, test := range map[string]struct {
		answer func(n int) error
		// writes that are tried, and whether the outcome stands in the status in the end.
		writes  int
		written bool
		says    string
	}{
		"it is written at once":                               {func(int) error { return nil }, 1, true, ""},
		"it is written again when it failed":                  {firstly(2, errors.New("the connection was refused")), 3, true, ""},
		"it is written again when another writer was faster":  {firstly(4, conflict), 5, true, ""},
		"what is refused as it stands is not written again":   {func(int) error { return invalid }, 1, false, ""},
		"what may never be written is given up, and said so":  {func(int) error { return forbidden }, 3, false, "cluster demo: clusters.kubewright.io \"demo\" is forbidden: the manager may not write clusters/status"},
		"an API server that stays away is given up, and said": {func(int) error { return errors.New("the connection was refused") }, 3, false, "cluster demo: the connection was refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c, writes := reporterOf(t, test.answer, v1alpha1.HostStatus{})
			err := r.record(t.Context(), request(), &provision.Outcome{Initialized: true}, false)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.HasSuffix(err.Error(), test.says)) {
				t.Errorf("got %v, want an error that ends in %q", err, test.says)
			}
			if *writes != test.writes {
				t.Errorf("%d writes were tried, want %d", *writes, test.writes)
			}
			var cluster v1alpha1.Cluster
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "demo"}, &cluster); err != nil {
				t.Fatal(err)
			}
			if cluster.Status.Initialized != test.written {
				t.Errorf("the status says initialized: %t", cluster.Status.Initialized)
			}
		})
	}
	t.Run("a process that ends does not go on", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, _, writes := reporterOf(t, func(int) error { cancel(); return forbidden }, v1alpha1.HostStatus{})
		r.patience.Duration = time.Hour
		if err := r.record(ctx, request(), &provision.Outcome{Initialized: true}, false); !errors.Is(err, context.Canceled) || *writes != 1 {
			t.Errorf("it tried %d writes and ended with %v", *writes, err)
		}
	})
}

// firstly answers the first n writes with an error.
func firstly(n int, err error) func(int) error {
	return func(write int) error {
		if write <= n {
			return err
		}
		return nil
	}
}

func TestAComparisonWritesFactsThatAreOthers(t *testing.T) {
	then, now := metav1.NewTime(time.Unix(1700000000, 0)), metav1.NewTime(time.Unix(1700003600, 0))
	known := &v1alpha1.HostFacts{Hostname: "cp1", Kernel: "6.1.0", CPUs: 2, DiskFreeBytes: 100, ObservedAt: then}
	same := &v1alpha1.HostFacts{Hostname: "cp1", Kernel: "6.1.0", CPUs: 2, DiskFreeBytes: 90, ObservedAt: now}
	other := &v1alpha1.HostFacts{Hostname: "cp1", Kernel: "6.12.0", CPUs: 2, DiskFreeBytes: 90, ObservedAt: now}
	for name, test := range map[string]struct {
		known, found *v1alpha1.HostFacts
		readOnly     bool
		writes       int
		kernel       string
		free         int64
	}{
		"another kernel is written":                                      {known, other, true, 1, "6.12.0", 90},
		"facts of a host that had none are written":                      {nil, other, true, 1, "6.12.0", 90},
		"the time and the free space alone are not":                      {known, same, true, 0, "6.1.0", 100},
		"after a run that may have changed the host they are, all of it": {known, same, false, 1, "6.1.0", 90},
	} {
		t.Run(name, func(t *testing.T) {
			reached := []metav1.Condition{{Type: v1alpha1.HostReachableCondition, Status: metav1.ConditionTrue, Reason: ReasonConnected, LastTransitionTime: then}}
			r, c, writes := reporterOf(t, func(int) error { return nil }, v1alpha1.HostStatus{Facts: test.known, Conditions: reached})
			if err := r.recordHost(t.Context(), "default", "cp1", provision.HostOutcome{Facts: test.found}, test.readOnly); err != nil {
				t.Fatal(err)
			}
			var host v1alpha1.Host
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "cp1"}, &host); err != nil {
				t.Fatal(err)
			}
			if *writes != test.writes || host.Status.Facts.Kernel != test.kernel || host.Status.Facts.DiskFreeBytes != test.free {
				t.Errorf("after %d writes, want %d, its facts are %+v", *writes, test.writes, host.Status.Facts)
			}
		})
	}
}
