package provision

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestANodeIsBackWhenTheKubeletThatWasBegunServesIt(t *testing.T) {
	begun := time.Date(2026, 11, 28, 12, 0, 5, 600e6, time.UTC)
	for name, test := range map[string]struct {
		status    int
		answer    string
		heartbeat time.Time
		since     time.Time
		want      string
	}{
		"it answers and has reported since":              {answer: "ok", heartbeat: begun.Add(2 * time.Second), since: begun},
		"it has reported within the second it was begun": {answer: "ok", heartbeat: begun.Truncate(time.Second), since: begun},
		"nobody knows when it was begun":                 {answer: "ok", heartbeat: begun.Add(-time.Hour)},
		"it has died and its node is Ready for a while":  {status: http.StatusServiceUnavailable, answer: "connection refused", heartbeat: begun.Add(time.Second), since: begun, want: "its kubelet does not answer"},
		"it is not well":                                 {answer: "[-]syncloop failed", heartbeat: begun.Add(time.Second), since: begun, want: "its kubelet says of itself: [-]syncloop failed"},
		"it answers for a moment and ends again":         {answer: "ok", heartbeat: begun.Add(-time.Second), since: begun, want: "has not reported yet"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/nodes/n4/proxy/healthz" {
					http.NotFound(w, r)
					return
				}
				if test.status != 0 {
					w.WriteHeader(test.status)
				}
				_, _ = w.Write([]byte(test.answer))
			}))
			defer server.Close()
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n4"}, Status: corev1.NodeStatus{
				NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "v1.36.3"},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.NewTime(test.heartbeat)}},
			}}
			k := &kube{config: &rest.Config{Host: server.URL}, cluster: &desired.Cluster{Hosts: []desired.Host{{Name: node.Name}}}, client: fakeclient.NewClientBuilder().WithObjects(node).Build()}
			versions := map[string]string{"n4": "v1.36.3"}
			returned, err := k.checkReturn(t.Context(), plan.Return{Version: versions}, "n4", test.since)
			if err != nil {
				t.Fatal(err)
			}
			awaited, err := k.awaitNode(t.Context(), plan.AwaitNode{Version: versions, NeedReady: true}, "n4", test.since)
			if err != nil {
				t.Fatal(err)
			}
			for step, verdict := range map[string]engine.Verdict{"back in service": returned, "Ready at last": awaited} {
				why := strings.Join(verdict.Why, "; ")
				if (verdict.State == engine.Done) != (test.want == "") || !strings.Contains(why, test.want) {
					t.Errorf("%s: %v %q, want %q", step, verdict.State, why, test.want)
				}
			}
		})
	}
}

func TestAKubeletThatEndsAgainAndAgainSaysWhy(t *testing.T) {
	before := &hostapi.UnitRun{Since: 1, Restarts: 2}
	refused := []string{
		`E1128 12:00:05.1 1 run.go:72] "command failed" err="failed to validate kubelet configuration, error: imageGCLowThresholdPercent 80"`,
		"kubelet.service: Main process exited, code=exited, status=1/FAILURE",
	}
	for name, test := range map[string]struct {
		now  *hostapi.UnitRun
		want string
	}{
		"it ended before it was looked at first":   {now: &hostapi.UnitRun{Since: 1, Restarts: 2}},
		"it ended once, because of something else": {now: &hostapi.UnitRun{Since: 2, Restarts: 3, Output: refused}},
		"somebody began it anew meanwhile":         {now: &hostapi.UnitRun{Since: 2}},
		"it ends again and again":                  {now: &hostapi.UnitRun{Restarts: 5, Output: refused}, want: "kubelet of host n4 ends by itself again and again: " + refused[0]},
		"it does not say why":                      {now: &hostapi.UnitRun{Restarts: 5}, want: "its journal is empty"},
		"its last line is all there is":            {now: &hostapi.UnitRun{Restarts: 5, Output: []string{"a", "panic: b"}}, want: "panic: b; take back"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ending("n4", before, test.now)
			if (err == nil) != (test.want == "") {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err != nil && (!strings.Contains(err.Error(), test.want) || engine.DetailOf(err).Reason != "KubeletEnds" || engine.KindOf(err) != engine.KindRetryable) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatAHostSaysOfItsKubeletIsRemembered(t *testing.T) {
	var k kubelets
	verdict := func(id string, since int64) []hostapi.Verdict {
		return []hostapi.Verdict{{Resource: id, Unit: &hostapi.UnitRun{Since: since}}}
	}
	k.see("n4", verdict("worker/update#"+kubeletUnit, 1e6))
	if at := k.of("n4").since(); !at.IsZero() {
		t.Errorf("without a kubelet that should run it runs since %s", at)
	}
	k.expect("n4", hostapi.Resource{ID: kubeletUnit, Unit: &hostapi.Unit{Name: "kubelet.service", LeaveRunning: true}})
	k.expect("n5", hostapi.Resource{ID: kubeletUnit, Unit: &hostapi.Unit{Name: "kubelet.service", Active: true}})
	k.see("n4", verdict("worker/update#"+kubeletUnit, 1e6))
	k.see("n5", verdict("worker/update#"+kubeletUnit, 1e6))
	k.see("n5", verdict(kubeletUnit, 2e6))
	k.see("n5", verdict("unit/containerd", 3e6))
	if at := k.of("n5").since(); !at.Equal(time.Unix(2, 0)) || k.of("n5").unit.ID != kubeletUnit {
		t.Errorf("it runs since %s", at)
	}
	if at := k.of("n4").since(); !at.IsZero() {
		t.Errorf("one that joining begins runs since %s", at)
	}
}
