package kubewright

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// netcheckImage is the bundle's own tool for looking at a cluster's network from inside.
const netcheckImage = "docker.io/kubewright/netcheck:v1"

// echo is a Deployment of two replicas that may not share a node, behind a Service.
const echo = `
apiVersion: v1
kind: Namespace
metadata: {name: netcheck}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: netcheck}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {matchLabels: {app: echo}}
      containers:
      - name: echo
        image: ` + netcheckImage + `
        args: [serve]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: netcheck}
spec:
  selector: {app: echo}
  ports: [{port: 80, targetPort: 8080}]
`

// question is a Job that asks the Service by its DNS name. It begins with the first answer: kube-proxy writes rules once a second at most, so
// a node may learn of a Service after the pods behind it are ready and the one that asks has started.
const question = `
apiVersion: batch/v1
kind: Job
metadata: {name: ask, namespace: netcheck}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: ask
        image: ` + netcheckImage + `
        args: [ask, -url, "http://echo.netcheck.svc.cluster.local", -count, "40", -interval, 20ms, -await, 30s]
`

// settleTimeout bounds how long a working cluster may take to show it.
const settleTimeout = "120s"

// AskService runs the check and returns where the replicas ran and what the asking pod reported. It fails when any question got no
// answer.
func (i *Installation) AskService(ctx context.Context) (string, error) {
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"delete", "namespace", "netcheck", "--ignore-not-found", "--wait"}},
		{echo, []string{"apply", "-f", "-"}},
		{"", []string{"-n", "netcheck", "rollout", "status", "deployment/echo", "--timeout", settleTimeout}},
		{question, []string{"apply", "-f", "-"}},
		{"", []string{"-n", "netcheck", "wait", "--for=condition=Complete", "job/ask", "--timeout", settleTimeout}},
	} {
		if _, err := i.Kubectl(ctx, step.stdin, step.args...); err != nil {
			logs, logErr := i.Kubectl(ctx, "", "-n", "netcheck", "logs", "job/ask")
			if logErr == nil && logs != "" {
				return "", fmt.Errorf("%w; the asking pod said: %s", err, logs)
			}
			return "", err
		}
	}
	pods, err := i.Kubectl(ctx, "", "-n", "netcheck", "get", "pods", "-o", "wide")
	if err != nil {
		return "", err
	}
	logs, err := i.Kubectl(ctx, "", "-n", "netcheck", "logs", "job/ask")
	return pods + logs, err
}

// metricsPatience is how long metrics may take to appear: two rounds of scraping.
const metricsPatience = 90 * time.Second

// TopNodes returns `kubectl top nodes` as soon as it knows every node.
func (i *Installation) TopNodes(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsPatience)
	defer cancel()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		out, err := i.Kubectl(ctx, "", "top", "nodes")
		if err == nil && !strings.Contains(out, "<unknown>") {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, fmt.Errorf("kubectl top nodes does not answer for every node after %s: %w", metricsPatience, err)
		case <-ticker.C:
		}
	}
}
