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
	if got := o.Where(o.Hosts[1]); got != "f.yaml:19: Host n2" {
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

func TestAMistakeIsNamedWithLineAndFieldAndTheLikelyCorrection(t *testing.T) {
	change := func(text, old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("there is no %q", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, test := range map[string]struct {
		content string
		want    string
	}{
		"a field that is misspelled": {
			change(cluster, "  workers:", "  worker:"),
			"f.yaml:9: Cluster demo: spec.worker: there is no such field: did you mean workers?",
		},
		"a field in other case": {
			change(cluster, "offlineManifestRef", "offlinemanifestref"),
			"f.yaml:6: Cluster demo: spec.offlinemanifestref: there is no such field: did you mean offlineManifestRef?",
		},
		"a field that stands too high": {
			change(cluster, "  workers:", "  hosts: [n1]\n  workers:"),
			"f.yaml:9: Cluster demo: spec.hosts: there is no such field: did you mean spec.controlPlane.hosts or spec.workers[].hosts?",
		},
		"a field that stands too deep": {
			change(cluster, "    hosts: [n1]\n", "    hosts: [n1]\n    operationPolicy: Manual\n"),
			"f.yaml:9: Cluster demo: spec.controlPlane.operationPolicy: there is no such field: did you mean spec.operationPolicy?",
		},
		"a field like no other": {
			change(hosts, "address: 192.0.2.1", "xyzzy: 1, address: 192.0.2.1"),
			"f.yaml:4: Host n1: spec.xyzzy: there is no such field: known here are address",
		},
		"a version that YAML takes for a number": {
			change(cluster, "v1.36.3", "1.36"),
			"f.yaml:5: Cluster demo: spec.version: is the number 1.36, but a text is wanted: write v1.36, with the patch version",
		},
		"a text that YAML takes for a number": {
			change(hosts, "{name: n1}", "{name: 1}"),
			`f.yaml:3: Host 1: metadata.name: is the number 1, but a text is wanted: put it into quotes: "1"`,
		},
		"a text that YAML takes for true": {
			change(hosts, "address: 192.0.2.1", "user: yes, address: 192.0.2.1"),
			`f.yaml:4: Host n1: spec.user: is yes, which YAML takes for true or false, but a text is wanted: put it into quotes: "yes"`,
		},
		"a number in quotes": {
			change(hosts, "address: 192.0.2.1", `port: "22", address: 192.0.2.1`),
			`f.yaml:4: Host n1: spec.port: is the text "22", but a number is wanted: write 22, without quotes`,
		},
		"a number that is a word": {
			change(hosts, "address: 192.0.2.1", `port: ssh, address: 192.0.2.1`),
			`f.yaml:4: Host n1: spec.port: is the text "ssh", but a number is wanted`,
		},
		"a number with a fraction": {
			change(hosts, "address: 192.0.2.1", `port: 2.2, address: 192.0.2.1`),
			`f.yaml:4: Host n1: spec.port: is the number 2.2, but a whole number is wanted`,
		},
		"a truth value in quotes": {
			change(cluster, "  workers:", "  rollout: {drain: {disabled: \"True\"}}\n  workers:"),
			`f.yaml:9: Cluster demo: spec.rollout.drain.disabled: is the text "True", but true or false is wanted: write true, without quotes`,
		},
		"a time span without a unit": {
			change(cluster, "  workers:", "  drift:\n    interval: 10\n  workers:"),
			`f.yaml:10: Cluster demo: spec.drift.interval: is the number 10, but a time span is wanted: write a unit behind it: 10s, 10m or 10h`,
		},
		"a time span in words": {
			change(cluster, "  workers:", "  drift: {interval: soon}\n  workers:"),
			`f.yaml:9: Cluster demo: spec.drift.interval: is the text "soon", but a time span is wanted: write for example 30s, 10m or 1h30m`,
		},
		"one value for a list": {
			change(cluster, "[n1]", "n1"),
			`f.yaml:8: Cluster demo: spec.controlPlane.hosts: is the text "n1", but a list is wanted: write [n1]`,
		},
		"a list for one value": {
			change(hosts, "192.0.2.1", "[192.0.2.1]"),
			`f.yaml:4: Host n1: spec.address: is a list, but one value is wanted`,
		},
		"a name for an object with a name": {
			change(hosts, "credentialsRef: {name: ssh}", "credentialsRef: ssh"),
			`f.yaml:4: Host n1: spec.credentialsRef: is the text "ssh", but fields are wanted here: write {name: ssh}`,
		},
		"a field given twice": {
			change(cluster, "  version: v1.36.3\n", "  version: v1.36.3\n  version: v1.35.4\n"),
			`f.yaml:6: Cluster demo: spec.version: it is there twice: remove one; the first is on line 5`,
		},
		"a field given twice where anything may stand": {
			change(cluster, "  workers:", "  overrides:\n    kubelet:\n      maxPods: 1\n      maxPods: 2\n  workers:"),
			`f.yaml:12: Cluster demo: spec.overrides.kubelet.maxPods: it is there twice: remove one; the first is on line 11`,
		},
		"a Secret with a number for a text": {
			cluster + "---\n" + change(secret, `password: "it's a \"hard\" $PASS\\word"`, "password: 4711"),
			`f.yaml:16: Secret ssh: stringData.password: is a number, but a text is wanted: put it into quotes`,
		},
		"a Secret with plain text in data": {
			cluster + "---\n" + change(secret, "Yg==", "hunter2!"),
			`f.yaml:15: Secret ssh: data.a: is not base64: write it as it is under stringData instead`,
		},
		"a tab":             {change(cluster, "    hosts: [n1]", "\thosts: [n1]"), "f.yaml:8: the line is indented with a tab: YAML is indented with spaces"},
		"a quote left open": {change(cluster, "v1.36.3", `"v1.36.3`), "f.yaml:5: a quote that begins here is not closed: close it on the same line"},
		"a backslash":       {change(cluster, "v1.36.3", `"a\d"`), "f.yaml:5: a backslash in double quotes begins a special character: write it twice, or put the text into single quotes"},
		"a colon in a text": {change(cluster, "v1.36.3", `a: b`), "f.yaml:5: a ': ' stands where no field can begin: put a text that holds ': ' into quotes"},
		"an indentation that fits nothing": {
			change(cluster, "  controlPlane:\n", " controlPlane:\n"), "f.yaml:6: the line does not fit those before it: indent it",
		},
		"a bracket left open": {cluster + "---\na: [\n", "f.yaml:12: "},
		"no kind":             {cluster + "---\na: b\n", "f.yaml:12: it has no apiVersion and kind: allowed are Cluster, Host, OfflineManifest of kubewright.io/v1alpha1, Secret and Namespace of v1"},
		"a kind in lower case": {
			change(cluster, "kind: Cluster", "kind: cluster"), "f.yaml:2: cluster demo: kind: a cluster is not allowed here: did you mean Cluster?",
		},
		"another version of the API": {
			change(cluster, "v1alpha1", "v1"), `f.yaml:1: Cluster demo: apiVersion: a Cluster is not of "kubewright.io/v1": write kubewright.io/v1alpha1`,
		},
		"a kind of somebody else": {
			cluster + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", "f.yaml:13: Deployment x: kind: a Deployment is not allowed here: allowed are",
		},
		"a list":  {cluster + "---\napiVersion: v1\nkind: SecretList\n", "SecretList"},
		"no name": {cluster + "---\napiVersion: v1\nkind: Secret\n", "f.yaml:12: Secret: metadata.name: it is missing: give the Secret a name"},
		"a name for a shell": {
			change(hosts, "n2", "n2$(touch /tmp/x)"), `f.yaml:8: Host n2$(touch /tmp/x): metadata.name: "n2$(touch /tmp/x)" is not a name: write lower case letters`,
		},
		"a name in upper case": {change(hosts, "{name: n2}", "{name: Node_2}"), `is not a name: write node-2`},
		"no version": {
			change(cluster, "  version: v1.36.3\n", ""), "f.yaml:4: Cluster demo: spec.version: is missing: write a Kubernetes version of the bundle",
		},
		"no bundle": {
			change(cluster, "  offlineManifestRef: {name: k8s}\n", ""), "f.yaml:4: Cluster demo: spec.offlineManifestRef.name: is missing",
		},
		"no control planes": {
			change(cluster, "    hosts: [n1]\n", "    hosts: []\n"), "f.yaml:8: Cluster demo: spec.controlPlane.hosts: is missing: name 1, 3 or 5 Hosts",
		},
		"no cluster": {hosts, "f.yaml: it holds no Cluster of kubewright.io/v1alpha1"},
		"two clusters": {
			cluster + "---\n" + change(cluster, "demo", "second"), "f.yaml:12: Cluster second: it is the second Cluster of the file",
		},
		"an object twice": {
			cluster + "---\n" + hosts + "---\n" + hosts[:strings.Index(hosts, "---")], "f.yaml:22: Host n1: it is there twice, first on line 12",
		},
		"a host named twice": {
			change(cluster, "hosts: [n2]", "hosts: [n2, n1]"),
			"f.yaml:10: Cluster demo: spec.workers[0].hosts[1]: host n1 is named by spec.controlPlane.hosts[0] already: a host has one role",
		},
		"an address twice": {
			cluster + "---\n" + change(hosts, "192.0.2.2", "192.0.2.1"),
			"f.yaml:20: Host n2: spec.address: 192.0.2.1 and port 22 are those of Host n1 as well",
		},
		"a manifest nobody uses": {
			cluster + "---\napiVersion: kubewright.io/v1alpha1\nkind: OfflineManifest\nmetadata: {name: wrong}\nspec: {source: 'file:///x', digest: d}\n",
			`f.yaml:14: OfflineManifest wrong: metadata.name: the Cluster's spec.offlineManifestRef names "k8s", not "wrong"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			content := test.content
			if !strings.Contains(content, "\nkind: Cluster\n") && name != "no cluster" {
				content += "---\n" + cluster
			}
			_, err := input.Parse("f.yaml", []byte(content))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
			for _, secret := range []string{"4711", "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret is repeated: %v", err)
				}
			}
		})
	}
}

func TestEveryMistakeIsToldOfAtOnceInTheOrderOfTheFile(t *testing.T) {
	content := strings.Replace(cluster, "v1.36.3", "1.36", 1) + "---\n" + strings.Replace(hosts, "address: 192.0.2.1", `port: "22"`, 1) + "---\na:\n\tb\n"
	content = strings.Replace(content, "workers:", "worker:", 1)
	_, err := input.Parse("f.yaml", []byte(content))
	want := "f.yaml has 4 mistakes:\n" +
		"  line 5: Cluster demo: spec.version: is the number 1.36, but a text is wanted: write v1.36, with the patch version, as `kubewright bundle inspect` lists them\n" +
		"  line 9: Cluster demo: spec.worker: there is no such field: did you mean workers?\n" +
		"  line 15: Host n1: spec.port: is the text \"22\", but a number is wanted: write 22, without quotes\n" +
		"  line 23: the line is indented with a tab: YAML is indented with spaces"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAFieldThatIsNotWrittenIsToldAtWhatItWouldStandIn(t *testing.T) {
	o, err := input.Parse("f.yaml", []byte(cluster))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"spec.workers[0].hosts[0]": "f.yaml:10: Cluster demo: spec.workers[0].hosts[0]: x: y",
		"spec.workers[0].labels":   "f.yaml:10: Cluster demo: spec.workers[0].labels: x: y",
		"spec.network.podCIDR":     "f.yaml:4: Cluster demo: spec.network.podCIDR: x: y",
	} {
		if got := o.Mistake(o.Cluster, field, "x", "y").Error(); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
}

func TestAFileThatCannotBeReadIsAMistakeOfItsUser(t *testing.T) {
	_, err := input.Read(t.TempDir() + "/missing.yaml")
	if _, ok := errors.AsType[*input.Error](err); !ok {
		t.Fatalf("got %v, want an *input.Error", err)
	}
}
