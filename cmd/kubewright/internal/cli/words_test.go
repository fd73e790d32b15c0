package cli

import "testing"

func TestARefusalIsPutIntoTheWordsOfTheField(t *testing.T) {
	for cause, want := range map[string][2]string{
		`Invalid value: "array": a control plane has 1, 3 or 5 hosts: add or remove hosts`: {"a control plane has 1, 3 or 5 hosts: add or remove hosts", ""},
		`Invalid value: version is not a Kubernetes release: write v`:                      {"version is not a Kubernetes release: write v", ""},
		`Invalid value: ["a","b"]: two are too many`:                                       {"two are too many", ""},
		`Invalid value: "a\"b": spec.name in body should match '^x$'`:                      {`"a\"b" should match '^x$'`, ""},
		`Invalid value: 99999: spec.port in body should be less than or equal to 65535`:    {"99999 should be less than or equal to 65535", ""},
		`Unsupported value: "manual": supported values: "Automatic", "Manual"`:             {`"manual" is not one of Automatic, Manual`, "write Manual"},
		`Unsupported value: "xyzzyxyzzy": supported values: "Automatic", "Manual"`:         {`"xyzzyxyzzy" is not one of Automatic, Manual`, ""},
		`Required value`: {"is missing", ""},
	} {
		message, next := inWords(cause)
		if message != want[0] || next != want[1] {
			t.Errorf("%s\nbecomes %q, %q, want %q", cause, message, next, want)
		}
	}
}
