package cluster

import (
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// op builds an operation that the cluster with uid "now" created.
func op(name string, generation int64, phase v1alpha1.OperationPhase, change ...func(*v1alpha1.ClusterOperation)) v1alpha1.ClusterOperation {
	o := v1alpha1.ClusterOperation{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(&v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}, v1alpha1.GroupVersion.WithKind("Cluster")),
		}},
		Spec:   v1alpha1.ClusterOperationSpec{Type: v1alpha1.InstallOperation, ClusterGeneration: generation},
		Status: v1alpha1.ClusterOperationStatus{Phase: phase},
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func answering(retry string) func(*v1alpha1.ClusterOperation) {
	return func(o *v1alpha1.ClusterOperation) { o.Annotations = map[string]string{v1alpha1.RetryAnnotation: retry} }
}

func ofUID(uid types.UID) func(*v1alpha1.ClusterOperation) {
	return func(o *v1alpha1.ClusterOperation) { o.OwnerReferences[0].UID = uid }
}

func TestWhatIsDueAboutOperations(t *testing.T) {
	const (
		succeeded = v1alpha1.OperationSucceeded
		failed    = v1alpha1.OperationFailed
		running   = v1alpha1.OperationRunning
	)
	for name, test := range map[string]struct {
		generation, installed int64
		retry                 string
		operations            []v1alpha1.ClusterOperation
		act                   act
		names                 string
	}{
		"a new cluster is installed":                                            {generation: 1, act: install, names: "demo-install-g1-1"},
		"an installed cluster rests":                                            {generation: 1, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: rest},
		"an installed cluster rests without its records":                        {generation: 1, installed: 1, act: rest},
		"a success rests before the status says so":                             {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: rest},
		"a failure is not repeated by itself":                                   {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: giveUp, names: "demo-install-g1-1"},
		"a failure is repeated on request":                                      {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: install, names: "demo-install-g1-2"},
		"a request is answered once":                                            {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed), op("demo-install-g1-2", 1, failed, answering("a"))}, act: giveUp, names: "demo-install-g1-2"},
		"another request is answered":                                           {generation: 1, retry: "b", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-2", 1, failed, answering("a"))}, act: install, names: "demo-install-g1-3"},
		"a withdrawn request changes nothing":                                   {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-2", 1, failed, answering("a"))}, act: giveUp, names: "demo-install-g1-2"},
		"a request after success runs it again":                                 {generation: 1, installed: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: install, names: "demo-install-g1-2"},
		"a request is not answered by an operation under way, which ends first": {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, running)}, act: wait, names: "demo-install-g1-1"},
		"a changed spec is brought about":                                       {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: install, names: "demo-install-g2-1"},
		"a changed spec cures a failure":                                        {generation: 2, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: install, names: "demo-install-g2-1"},
		"the tenth operation comes after the ninth":                             {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-10", 1, succeeded), op("demo-install-g1-9", 1, failed)}, act: rest},
		"one that has begun is waited for before one that waits":                {generation: 1, operations: []v1alpha1.ClusterOperation{op("check", 0, ""), op("demo-install-g1-1", 1, running)}, act: wait, names: "demo-install-g1-1"},
		"somebody's operation is waited for":                                    {generation: 1, operations: []v1alpha1.ClusterOperation{op("check", 0, "", ofUID("else"))}, act: wait, names: "check"},
		"names of an earlier cluster are not used again":                        {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded, ofUID("before"))}, act: install, names: "demo-install-g1-2"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now", Generation: test.generation}}
			c.Status.InstalledGeneration = test.installed
			if test.retry != "" {
				c.Annotations = map[string]string{v1alpha1.RetryAnnotation: test.retry}
			}
			got := decide(c, test.operations)
			g.Expect(got.act).To(gomega.Equal(test.act))
			switch {
			case got.act == install:
				g.Expect(got.name).To(gomega.Equal(test.names))
			case test.names != "":
				g.Expect(got.operation.Name).To(gomega.Equal(test.names))
			}
		})
	}
}

func TestWhetherAHostMayHaveBeenChanged(t *testing.T) {
	at := func(state v1alpha1.StepState) *v1alpha1.HostStep {
		return &v1alpha1.HostStep{Step: "connect", State: state}
	}
	for name, test := range map[string]struct {
		status v1alpha1.HostStatus
		want   bool
	}{
		"a new host was not":                            {v1alpha1.HostStatus{}, false},
		"a host whose facts were read may have":         {v1alpha1.HostStatus{Facts: &v1alpha1.HostFacts{}}, true},
		"a host on which a step ended well may have":    {v1alpha1.HostStatus{Step: at(v1alpha1.StepChanged)}, true},
		"a host in the middle of a step may have":       {v1alpha1.HostStatus{Step: at(v1alpha1.StepRunning)}, true},
		"a host on which its first step failed was not": {v1alpha1.HostStatus{Step: at(v1alpha1.StepFailed)}, false},
		"a host that was blocked was not":               {v1alpha1.HostStatus{Step: at(v1alpha1.StepBlocked)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			gomega.NewWithT(t).Expect(wasTouched(&v1alpha1.Host{Status: test.status})).To(gomega.Equal(test.want))
		})
	}
}

func TestOnlyTheNewestRecordsAreKept(t *testing.T) {
	g := gomega.NewWithT(t)
	c := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}
	operations := []v1alpha1.ClusterOperation{
		op("by-hand", 0, v1alpha1.OperationSucceeded, ofUID("else")),
		op("demo-install-g9-1", 9, v1alpha1.OperationRunning),
	}
	for i := range keptRecords + 2 {
		operations = append(operations, op(nextName("demo-install-g1-", operations), 1, v1alpha1.OperationFailed))
		g.Expect(surplus(c, operations)).To(gomega.HaveLen(max(0, i+1-keptRecords)))
	}
	old := surplus(c, operations)
	g.Expect(old[0].Name).To(gomega.Equal("demo-install-g1-2"))
	g.Expect(old[1].Name).To(gomega.Equal("demo-install-g1-1"))
}
