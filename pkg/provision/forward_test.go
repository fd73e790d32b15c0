package provision

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/pkg/steps/dns"
)

func TestClusterDNSIsLeftAloneUntilItHasToForwardElsewhere(t *testing.T) {
	corefile := func(forward string) string { return ".:53 {\n    errors\n" + forward + "    cache 30\n}\n" }
	const (
		node  = "    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n"
		named = "    forward . 192.0.2.53 {\n       max_concurrent 1000\n    }\n"
		own   = "    forward . tls://198.51.100.1\n"
	)
	servers, nobody, nodes := dns.Forwarding{"192.0.2.53"}, dns.Forwarding{}, dns.Forwarding(nil)
	for name, test := range map[string]struct {
		// has is how the Corefile forwards, noted what this project noted of it before.
		has, noted string
		want       *dns.Forwarding
		// forwards is how the Corefile forwards afterwards, note what is noted then.
		forwards, note string
	}{
		"kubeadm's stays where hosts have name servers":              {node, "", &nodes, node, ""},
		"kubeadm's is left alone when nothing can be told":           {node, "", nil, node, ""},
		"kubeadm's forwards to nobody where no host has any":         {node, "", &nobody, "", "none"},
		"kubeadm's forwards to whom the spec names":                  {node, "", &servers, named, "192.0.2.53"},
		"what people made of it stays where hosts have servers":      {own, "", &nodes, own, ""},
		"what people made of it stays where no host has any":         {own, "", &nobody, own, ""},
		"what people made of it goes when the spec names servers":    {own, "", &servers, "    forward . 192.0.2.53\n", "192.0.2.53"},
		"what the spec named is taken back when it does not":         {named, "192.0.2.53", &nodes, node, ""},
		"forwarding begins when hosts have name servers":             {"", "none", &nodes, "@" + node, ""},
		"what somebody changed since is put right":                   {own, "192.0.2.53", &servers, "    forward . 192.0.2.53\n", "192.0.2.53"},
		"what the spec named is left alone when nothing can be told": {named, "192.0.2.53", nil, named, "192.0.2.53"},
	} {
		t.Run(name, func(t *testing.T) {
			live := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: metaSystem, Name: corednsConfigMap, Annotations: map[string]string{"of": "people"}},
				Data:       map[string]string{corefileKey: corefile(test.has)},
			}
			if test.noted != "" {
				live.Annotations[forwardAnnotation] = test.noted
			}
			objects := fake.NewClientBuilder().WithObjects(live).Build()
			want := corefile(test.forwards)
			if block, last := strings.CutPrefix(test.forwards, "@"); last {
				want = ".:53 {\n    errors\n    cache 30\n" + block + "}\n"
			}
			why, err := checkForwarding(t.Context(), objects, test.want)
			if err != nil || (why != "") != (want != live.Data[corefileKey]) {
				t.Errorf("before: %q, %v", why, err)
			}
			if why != "" {
				if err := applyForwarding(t.Context(), objects, test.want); err != nil {
					t.Fatal(err)
				}
			}
			var got corev1.ConfigMap
			if err := objects.Get(t.Context(), client.ObjectKeyFromObject(live), &got); err != nil {
				t.Fatal(err)
			}
			if got.Data[corefileKey] != want || got.Annotations[forwardAnnotation] != test.note || got.Annotations["of"] != "people" {
				t.Errorf("it is noted %v and forwards so:\n%s", got.Annotations, got.Data[corefileKey])
			}
			if why, err := checkForwarding(t.Context(), objects, test.want); why != "" || err != nil {
				t.Errorf("afterwards: %q, %v", why, err)
			}
		})
	}
}
