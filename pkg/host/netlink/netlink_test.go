package netlink

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessagesArePaddedToFourBytesButTheirLengthIsNot(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   [][]byte
		length uint32
		after  []byte
	}{
		{"without a body", nil, 16, nil},
		{"a body that needs no padding", [][]byte{{1, 2, 3, 4}}, 20, []byte{1, 2, 3, 4}},
		{"parts that together need padding", [][]byte{{1, 2, 3, 4}, {5}}, 21, []byte{1, 2, 3, 4, 5, 0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := message(7, 8, 9, tt.body...)
			if got := order.Uint32(m); got != tt.length {
				t.Errorf("it says it is %d bytes long, want %d", got, tt.length)
			}
			if order.Uint16(m[4:]) != 7 || order.Uint16(m[6:]) != 8 || order.Uint32(m[8:]) != 9 {
				t.Errorf("the header is % x", m[:unix.NLMSG_HDRLEN])
			}
			if got := m[unix.NLMSG_HDRLEN:]; !bytes.Equal(got, tt.after) {
				t.Errorf("the body is % x, want % x", got, tt.after)
			}
		})
	}
}

func TestALinkThatIsNotThereIsNoError(t *testing.T) {
	if found, err := DeleteLink("kw-not-there"); found || err != nil {
		t.Fatalf("got %v, %v", found, err)
	}
}
