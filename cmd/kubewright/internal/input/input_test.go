package input_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
)

const cluster = `apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  version: v1.36.3
  offlineManifestRef: {name: k8s}
  controlPlane:
    hosts: [n1]
  workers:
  - {name: pool, hosts: [n2]}
`

const hosts = `apiVersion: kubewright.io/v1alpha1
kind: Host
metadata: {name: n1}
spec: {address: 192.0.2.1, credentialsRef: {name: ssh}}
---
apiVersion: kubewright.io/v1alpha1
kind: Host
metadata: {name: n2}
spec: {address: 192.0.2.2, credentialsRef: {name: other}, bastionRef: {name: jump}}
`

const secret = `apiVersion: v1
kind: Secret
metadata: {name: ssh}
data: {a: Yg==}
stringData: {password: "it's a \"hard\" $PASS\\word"}
`

func TestAFileIsReadWithNamespacesFilledIn(t *testing.T) {
	o, err := input.Parse("f.yaml", []byte("# a comment\n---\n"+cluster+"---\n"+hosts+"--- # secrets\n"+secret+"---\n"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Cluster.Name != "demo" || o.Cluster.Namespace != "default" || len(o.Hosts) != 2 || len(o.Secrets) != 1 {
		t.Fatalf("got %+v", o)
	}
	if got := string(o.Secrets[0].Data["password"]); got != `it's a "hard" $PASS\word` {
		t.Errorf("the password became %q", got)
	}
	if got := o.Where(o.Hosts[1]); got != "f.yaml: document 3 (line 19, Host n2)" {
		t.Errorf("the second host is said to be at %q", got)
	}
	raw := o.AsWritten(o.Cluster)
	if _, set := raw.Object["status"]; set || raw.GetNamespace() != "default" {
		t.Errorf("what would be applied has a status, or no namespace: %v", raw.Object)
	}
	if spec := raw.Object["spec"].(map[string]any); len(spec) != 4 {
		t.Errorf("fields the author did not write would be applied: %v", spec)
	}
	var dangling []string
	for _, r := range o.Dangling() {
		dangling = append(dangling, r.Kind+" "+r.Name)
	}
	if got := strings.Join(dangling, ", "); got != "Secret other, Host jump" {
		t.Errorf("dangling references: %s", got)
	}
}

func TestAMistakeIsNamedWithFileDocumentAndField(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    []string
	}{
		"an unknown field": {
			strings.Replace(cluster, "  workers:", "  worker:", 1),
			[]string{"f.yaml: document 1 (line 1, Cluster demo)", `unknown field "spec.worker"`},
		},
		"a field of a wrong type": {
			hosts + "---\n" + strings.Replace(cluster, "[n1]", "n1", 1),
			[]string{"document 3 (line 11, Cluster demo)", "spec.controlPlane.hosts"},
		},
		"a field given twice": {
			hosts + "---\n" + strings.Replace(cluster, "  version: v1.36.3\n", "  version: v1.36.3\n  version: v1.35.4\n", 1),
			[]string{"document 3", "line 16", `"version"`},
		},
		"broken YAML":        {cluster + "---\na: [\n", []string{"document 2 (line 12)"}},
		"no kind":            {cluster + "---\na: b\n", []string{"document 2 (line 12)", "apiVersion and kind"}},
		"an unknown kind":    {cluster + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", []string{"Deployment x", "allowed are"}},
		"a kind not allowed": {cluster + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", []string{"Pod x", "not allowed"}},
		"a list":             {cluster + "---\napiVersion: v1\nkind: SecretList\n", []string{"SecretList", "not allowed"}},
		"no name":            {"apiVersion: v1\nkind: Secret\n", []string{"metadata.name"}},
		"a name for a shell": {strings.Replace(hosts, "n2", "n2$(touch /tmp/x)", 1), []string{"Host n2$(touch /tmp/x)", "metadata.name", "is not a name"}},
		"no version":         {strings.Replace(cluster, "  version: v1.36.3\n", "", 1), []string{"Cluster demo", "spec.version is missing", "bundle inspect"}},
		"no bundle":          {strings.Replace(cluster, "  offlineManifestRef: {name: k8s}\n", "", 1), []string{"Cluster demo", "spec.offlineManifestRef.name is missing"}},
		"no control planes":  {strings.Replace(cluster, "    hosts: [n1]\n", "    hosts: []\n", 1), []string{"Cluster demo", "spec.controlPlane.hosts is missing"}},
		"no cluster":         {hosts, []string{"f.yaml", "no Cluster"}},
		"two clusters":       {cluster + "---\n" + strings.Replace(cluster, "demo", "second", 1), []string{"document 2", "second Cluster"}},
		"an object twice":    {cluster + "---\n" + hosts + "---\n" + hosts, []string{"document 4", "Host n1", "twice", "document 2"}},
		"a host named twice": {
			strings.Replace(cluster, "hosts: [n2]", "hosts: [n2, n1]", 1),
			[]string{"Cluster demo", "spec.workers[0].hosts[1]", "host n1", "spec.controlPlane.hosts[0]"},
		},
		"an address twice": {
			cluster + "---\n" + strings.Replace(hosts, "192.0.2.2", "192.0.2.1", 1),
			[]string{"Host n2", "spec.address", "192.0.2.1", "Host n1"},
		},
		"a manifest nobody uses": {
			cluster + "---\napiVersion: kubewright.io/v1alpha1\nkind: OfflineManifest\nmetadata: {name: wrong}\nspec: {source: 'file:///x', digest: d}\n",
			[]string{"OfflineManifest wrong", "offlineManifestRef", `"k8s"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := input.Parse("f.yaml", []byte(test.content))
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %s: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
		})
	}
}

func TestAFileThatCannotBeReadIsAMistakeOfItsUser(t *testing.T) {
	_, err := input.Read(t.TempDir() + "/missing.yaml")
	if _, ok := errors.AsType[*input.Error](err); !ok {
		t.Fatalf("got %v, want an *input.Error", err)
	}
}
