package inbound_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

func TestDocumentsAreCountedByWhatTheyBecomeInMemory(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		values int64
	}{
		"an object":                      {`{"a":1}`, 1},
		"two members":                    {`{"a":1,"b":{}}`, 3},
		"what strings hold is no value":  {`{"a":",,,[[[{{{\"","b":"\\"}`, 2},
		"objects in a list weigh more":   {`[{}, {} ,{}]`, 1 + 2 + 3*8},
		"an object in a member does not": {`{"a": {"b": {}}}`, 3},
	} {
		for _, limit := range []int64{test.values, test.values - 1} {
			r := inbound.NewReader(iotest.OneByteReader(strings.NewReader(test.text)), "it", inbound.Limits{Bytes: 1000, Values: limit})
			_, err := io.ReadAll(r)
			if _, tooLarge := errors.AsType[*inbound.TooLargeError](err); tooLarge != (limit < test.values) {
				t.Errorf("%s, at most %d values: %v", name, limit, err)
			}
		}
	}
}
