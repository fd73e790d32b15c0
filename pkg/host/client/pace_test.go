package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// chatty answers every request with what is far more than may come at once, as fast as it is read.
type chatty struct{ event string }

// RoundTrip implements http.RoundTripper.
func (c chatty) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(strings.Repeat(c.event, 1<<20)))}, nil
}

func TestAStreamIsReadNoFasterThanItMayCome(t *testing.T) {
	host := chatty{`{"progress":{"message":"again"}}` + "\n"}
	synctest.Test(t, func(t *testing.T) {
		helper := &Client{http: &http.Client{Transport: host}}
		const seconds = 3
		ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
		defer cancel()
		events := 0
		_, err := helper.Apply(ctx, api.ApplyRequest{Step: "s"}, func(api.Progress) { events++ })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		// The read that reaches the bound may go beyond it by what the decoder reads at once.
		const want, atOnce = streamBurst + seconds*streamRate, 64 << 10
		if got := events * len(host.event); got < want-atOnce || got > want+atOnce {
			t.Errorf("%d bytes came in %d seconds, want %d", got, seconds, want)
		}
	})
}
