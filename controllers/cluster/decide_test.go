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
		cancelled = v1alpha1.OperationCancelled
		awaiting  = v1alpha1.OperationAwaitingApproval
	)
	ofType := func(kind v1alpha1.OperationType) func(*v1alpha1.ClusterOperation) {
		return func(o *v1alpha1.ClusterOperation) { o.Spec.Type = kind }
	}
	hop := func(text string) func(*v1alpha1.ClusterOperation) {
		return func(o *v1alpha1.ClusterOperation) {
			o.Spec.Type = v1alpha1.UpgradeOperation
			setAnnotation(o, v1alpha1.HopAnnotation, text)
		}
	}
	for name, test := range map[string]struct {
		generation, installed int64
		retry                 string
		operations            []v1alpha1.ClusterOperation
		act                   act
		names                 string
	}{
		"a new cluster is installed":                                            {generation: 1, act: begin, names: "demo-install-g1-1"},
		"an installed cluster rests":                                            {generation: 1, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: rest},
		"an installed cluster rests without its records":                        {generation: 1, installed: 1, act: rest},
		"a success rests before the status says so":                             {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: rest},
		"a failure is not repeated by itself":                                   {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: giveUp, names: "demo-install-g1-1"},
		"a failure is repeated on request":                                      {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: begin, names: "demo-install-g1-2"},
		"a request is answered once":                                            {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed), op("demo-install-g1-2", 1, failed, answering("a"))}, act: giveUp, names: "demo-install-g1-2"},
		"another request is answered":                                           {generation: 1, retry: "b", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-2", 1, failed, answering("a"))}, act: begin, names: "demo-install-g1-3"},
		"a withdrawn request changes nothing":                                   {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-2", 1, failed, answering("a"))}, act: giveUp, names: "demo-install-g1-2"},
		"a request after success runs it again":                                 {generation: 1, installed: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: begin, names: "demo-install-g1-2"},
		"a request is not answered by an operation under way, which ends first": {generation: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, running)}, act: wait, names: "demo-install-g1-1"},
		"a changed spec is brought about":                                       {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded)}, act: begin, names: "demo-install-g2-1"},
		"a changed spec cures a failure":                                        {generation: 2, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, failed)}, act: begin, names: "demo-install-g2-1"},
		"the tenth operation comes after the ninth":                             {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-10", 1, succeeded), op("demo-install-g1-9", 1, failed)}, act: rest},
		"one that has begun is waited for before one that waits":                {generation: 1, operations: []v1alpha1.ClusterOperation{op("check", 0, ""), op("demo-install-g1-1", 1, running)}, act: wait, names: "demo-install-g1-1"},
		"somebody's operation is waited for":                                    {generation: 1, operations: []v1alpha1.ClusterOperation{op("check", 0, "", ofUID("else"))}, act: wait, names: "check"},
		"after a part of a chain the next one follows":                          {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-upgrade-g2-1", 2, succeeded, hop("1 of 2"))}, act: begin, names: "demo-install-g2-2"},
		"after the last part of a chain the cluster rests":                      {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-upgrade-g2-1", 2, succeeded, hop("1 of 2")), op("demo-upgrade-g2-2", 2, succeeded, hop("2 of 2"))}, act: rest},
		"after a part that failed the chain does not go on":                     {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-upgrade-g2-1", 2, failed, hop("1 of 2"))}, act: giveUp, names: "demo-upgrade-g2-1"},
		"of two types the higher number came last":                              {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-upgrade-g2-1", 2, failed, ofType(v1alpha1.UpgradeOperation)), op("demo-configure-g2-2", 2, succeeded, ofType(v1alpha1.ConfigureOperation))}, act: rest},
		"a cancelled operation is not begun again by itself":                    {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-scale-g2-1", 2, cancelled, ofType(v1alpha1.ScaleOperation))}, act: holdBack, names: "demo-scale-g2-1"},
		"a cancelled operation goes on when it is asked for":                    {generation: 2, installed: 1, retry: "a", operations: []v1alpha1.ClusterOperation{op("demo-scale-g2-1", 2, cancelled, ofType(v1alpha1.ScaleOperation))}, act: begin, names: "demo-install-g2-2"},
		"a changed spec supersedes a cancelled operation":                       {generation: 3, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-scale-g2-1", 2, cancelled, ofType(v1alpha1.ScaleOperation))}, act: begin, names: "demo-install-g3-1"},
		"one that waits for approval is waited for":                             {generation: 2, installed: 1, operations: []v1alpha1.ClusterOperation{op("demo-scale-g2-1", 2, awaiting)}, act: wait, names: "demo-scale-g2-1"},
		"a reset does not bring a cluster about":                                {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-reset-1", 1, succeeded, ofType(v1alpha1.ResetOperation))}, act: begin, names: "demo-install-g1-1"},
		"names of an earlier cluster are not used again":                        {generation: 1, operations: []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, succeeded, ofUID("before"))}, act: begin, names: "demo-install-g1-2"},
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
			case got.act == begin:
				g.Expect(nextSuccessor(c, v1alpha1.InstallOperation, test.operations)).To(gomega.Equal(test.names))
			case test.names != "":
				g.Expect(got.operation.Name).To(gomega.Equal(test.names))
			}
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
