package progress_test

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/progress"
)

// firstPlan is the plan of a first installation, as far as it matters here.
func firstPlan() []v1alpha1.PlannedChange {
	var plan []v1alpha1.PlannedChange
	add := func(step, why string, hosts ...string) {
		for _, host := range hosts {
			plan = append(plan, v1alpha1.PlannedChange{Step: step, Host: host, Why: why})
		}
	}
	add("content/blobs", "blob/aa: 1048576 bytes are not on the host\nblob/bb: 2097152 bytes are not on the host", "n1", "n2", "n3")
	add("runtime/containerd", "file/usr/local/bin/runc: /usr/local/bin/runc does not exist\ndir/opt/containerd: /opt/containerd does not exist\n"+
		"unit/containerd: unit containerd.service is not loaded (not-found)", "n1", "n2", "n3")
	add("control-plane/init", "command/kubeadm-init: it has not run yet", "n1")
	add("node/join", "command/kubeadm-join: it has not run yet", "n2", "n3")
	add("cluster/network", "it comes with the cluster", "n1")
	return plan
}

// laterPlan changes a cluster that runs.
func laterPlan() []v1alpha1.PlannedChange {
	return []v1alpha1.PlannedChange{
		{Step: "cluster/configuration", Host: "n1", Why: "ConfigMap kube-system/kubelet-config holds another configuration\n  maxPods: 110 -> 60"},
		{Step: "worker/drain", Host: "n2"},
		{Step: "worker/update", Host: "n2", Why: "file/etc/containerd/config.toml: /etc/containerd/config.toml has other content\n   version = 3\n  -a = 1\n  +a = 2\n" +
			"unit/containerd: unit containerd.service runs with other inputs"},
		{Step: "leave/reset", Host: "n9", Why: "not cleaned yet"},
		{Step: "leave/node", Host: "n9", Why: "the node is registered"},
	}
}

func TestAPlanBeginsWithWhatItComesToAndIsWholeWithAll(t *testing.T) {
	for name, c := range map[string]struct {
		plan    []v1alpha1.PlannedChange
		leftOut int
		bundle  string
		all     bool
		want    string
	}{
		"a first installation": {plan: firstPlan(), want: `Summary
  Begins on      n1
  Workers        n2, n3
  Content        9.0 MiB onto 3 hosts, at most 3.0 MiB onto one
  Drained        no node
  Restarted      nothing that runs

n1
  content/blobs                2 blobs of 3.0 MiB
  runtime/containerd           1 directory, 1 file, 1 unit
  control-plane/init           runs kubeadm-init
  cluster/network              it comes with the cluster

n2, n3
  content/blobs                2 blobs of 3.0 MiB
  runtime/containerd           1 directory, 1 file, 1 unit
  node/join                    runs kubeadm-join

With -v everything that is only counted here is listed.
`},
		"all of a change of a cluster that runs": {plan: laterPlan(), all: true, want: `Summary
  Leave          n9
  Drained        n2
  Restarted      containerd on n2

n1
  cluster/configuration
      ConfigMap kube-system/kubelet-config holds another configuration
        maxPods: 110 -> 60

n2
  worker/drain
  worker/update
      file/etc/containerd/config.toml: /etc/containerd/config.toml has other
        content
         version = 3
        -a = 1
        +a = 2
      unit/containerd: unit containerd.service runs with other inputs

n9
  leave/reset
      not cleaned yet
  leave/node
      the node is registered
`},
		"nothing": {want: "Nothing would be changed.\n"},
		"nothing on hosts, from another bundle": {
			bundle: progress.OtherBundle(runsFrom("sha256:"+strings.Repeat("a", 64)), "sha256:"+strings.Repeat("b", 64)),
			want: `  Bundle         sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb, another one than
                 the cluster runs from
Nothing would be changed.
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := progress.Plan(&b, progress.Planned{Changes: c.plan, LeftOut: c.leftOut, Bundle: c.bundle}, c.all); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
		})
	}
}

func runsFrom(digest string) *v1alpha1.Cluster {
	cluster := &v1alpha1.Cluster{}
	cluster.Status.Bundles = []v1alpha1.InstalledBundle{{UsedBundle: v1alpha1.UsedBundle{Digest: digest}}}
	return cluster
}

func TestAnotherBundleIsOneWithAnotherDigest(t *testing.T) {
	for name, c := range map[string]struct {
		cluster *v1alpha1.Cluster
		digest  string
		says    bool
	}{
		"another one":        {runsFrom("sha256:aa"), "sha256:bb", true},
		"the same":           {runsFrom("sha256:aa"), "sha256:aa", false},
		"a cluster to be":    {&v1alpha1.Cluster{}, "sha256:aa", false},
		"no cluster":         {nil, "sha256:aa", false},
		"a bundle not known": {runsFrom("sha256:aa"), "", false},
	} {
		if got := progress.OtherBundle(c.cluster, c.digest); (got != "") != c.says {
			t.Errorf("%s: says %q", name, got)
		}
	}
}

func TestAPlanIsNotCutSilentlyAndFitsATerminal(t *testing.T) {
	var b strings.Builder
	long := []v1alpha1.PlannedChange{{Step: "x/y", Host: "n1", Why: "\x1b[2J" + strings.Repeat("words ", 60)}}
	if err := progress.Plan(&b, progress.Planned{Changes: append(long, laterPlan()...), LeftOut: 7}, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "7 more changes are left out here") || !strings.Contains(b.String(), "kubewright plan") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("what is left out is not said, or a host commands the terminal:\n%s", b.String())
	}
	for line := range strings.Lines(b.String()) {
		if ansi.StringWidth(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}
