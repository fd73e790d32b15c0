package provision

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/pki"
)

func TestAPlanNamesOldAndNewValuesAndNoSecret(t *testing.T) {
	args := func(pairs ...string) map[string]any {
		var list []any
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, map[string]any{"name": pairs[i], "value": pairs[i+1]})
		}
		return map[string]any{"apiServer": map[string]any{"extraArgs": list}}
	}
	many := map[string]any{}
	for i := range maxValueChanges + 3 {
		many[fmt.Sprintf("k%02d", i)] = i
	}
	for name, c := range map[string]struct {
		have, want any
		removals   bool
		says       []string
	}{
		"a scalar":                {map[string]any{"maxPods": 110}, map[string]any{"maxPods": int64(60)}, true, []string{"maxPods: 110 -> 60"}},
		"the same in other types": {map[string]any{"maxPods": 110.0}, map[string]any{"maxPods": int32(110)}, true, nil},
		"an argument, among others that moved": {
			args("v", "2", "audit-log-maxage", "30"), args("audit-log-maxage", "60", "v", "2"), true,
			[]string{`apiServer.extraArgs[audit-log-maxage]: "30" -> "60"`},
		},
		"an argument that comes, and one that goes": {
			args("a", "1"), args("b", "2"), true,
			[]string{`apiServer.extraArgs[a]: "1" -> (none)`, `apiServer.extraArgs[b]: (none) -> "2"`},
		},
		"a default that somebody filled in": {map[string]any{"a": 1, "b": 2}, map[string]any{"a": 1}, false, nil},
		"a secret":                          {map[string]any{"clientSecret": "s3cr3t"}, map[string]any{"clientSecret": "0ther"}, true, []string{"clientSecret: hmac:"}},
		"a path to a secret":                {map[string]any{"tokenFile": "/a"}, map[string]any{"tokenFile": "/b"}, true, []string{`tokenFile: "/a" -> "/b"`}},
		"more than anybody reads":           {map[string]any{}, many, true, append(slices.Repeat([]string{": (none) -> "}, maxValueChanges), "and 3 more values")},
	} {
		t.Run(name, func(t *testing.T) {
			got := masked{[]byte("key")}.valueChanges(c.have, c.want, c.removals)
			if len(got) != len(c.says) {
				t.Fatalf("got %q, want %q", got, c.says)
			}
			for i, line := range got {
				if !strings.Contains(line, c.says[i]) || strings.Contains(line, "s3cr3t") || strings.Contains(line, "0ther") {
					t.Errorf("line %d is %q, want %q", i, line, c.says[i])
				}
			}
		})
	}
}

// Who sees a plan must not be able to try passwords; who sees two plans of a cluster sees whether they mean the same secret.
func TestASecretInAPlanCannotBeGuessedWithoutTheClustersAuthority(t *testing.T) {
	shown := func(authority, secret string) string {
		k := &kube{cluster: &desired.Cluster{}}
		k.cluster.Authorities = &pki.Authorities{Cluster: pki.KeyPair{Key: []byte(authority)}}
		return k.masked().valueChanges(map[string]any{}, map[string]any{"password": secret}, true)[0]
	}
	const secret = "s3cr3t"
	if first, again := shown("one", secret), shown("one", secret); first != again {
		t.Error("the same secret shows otherwise in another run, so no plan could be approved")
	}
	if shown("one", secret) == shown("one", "0ther") {
		t.Error("two secrets show alike")
	}
	if shown("one", secret) == shown("two", secret) {
		t.Error("it is shown without the cluster's key")
	}
	if plain := digestOf([]byte(`"` + secret + `"`)); strings.Contains(shown("one", secret), plain[len("sha256:"):][:shownDigest]) {
		t.Error("it is shown by a plain digest")
	}
	long := masked{[]byte("key")}.valueChanges(map[string]any{}, map[string]any{"text": strings.Repeat(secret, maxShownValue)}, true)[0]
	if !strings.Contains(long, " bytes, hmac:") || strings.Contains(long, secret) {
		t.Errorf("a long value shows as %s", long)
	}
}
