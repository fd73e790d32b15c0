package listing

import (
	"slices"
	"testing"
)

func TestDifferencesNameHostAndLine(t *testing.T) {
	before := View{"n1": {"file a", "file b"}, "n2": {"file a"}}
	for _, c := range []struct {
		name  string
		after View
		want  []string
	}{
		{"hosts that look alike have none", View{"n2": {"file a"}, "n1": {"file b", "file a"}}, nil},
		{"what is gone and what is new is told", View{"n1": {"file a", "file c"}, "n2": {"file a"}}, []string{"n1 was changed, gone is: file b", "n1 was changed, new is: file c"}},
		{"a host that was not looked at has lost everything", View{"n1": {"file a", "file b"}}, []string{"n2 was changed, gone is: file a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Differences(before, c.after); !slices.Equal(got, c.want) {
				t.Errorf("differences are %q, want %q", got, c.want)
			}
		})
	}
}
