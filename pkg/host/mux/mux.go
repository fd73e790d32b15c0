// Package mux holds the settings of the multiplexed connection that both sides of a helper session must agree on. It
// knows nothing of what goes over it.
package mux

import (
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// DefaultKeepAlive is the interval between keepalives.
	DefaultKeepAlive = 10 * time.Second
	// window is the most a stream may have in flight towards a host: 4 MiB keeps 400 MB/s going at 10 ms of round trip.
	window = 4 << 20
	// answerWindow is the most a stream may have in flight towards a controller, which holds it in memory for as many streams as a host
	// likes to open: yamux's smallest. What comes that way are answers, never content.
	answerWindow = 256 << 10
	// answerBacklog is how many streams a host may have opened that the controller has not taken up yet; more are refused.
	answerBacklog = 64
)

// Config returns the settings of a session with the given keepalive interval (0: DefaultKeepAlive). A side that gets no answer to a
// keepalive within six times the interval ends the session: 70 s of silence in all with the default. It is so long because the answer
// may have to wait behind what is under way, the 2 MiB of an SSH channel's window (OpenSSH's CHAN_SES_WINDOW_DEFAULT): 42 s at 50 KB/s.
func Config(keepAlive time.Duration) *yamux.Config {
	if keepAlive <= 0 {
		keepAlive = DefaultKeepAlive
	}
	c := yamux.DefaultConfig()
	c.KeepAliveInterval = keepAlive
	c.ConnectionWriteTimeout = 6 * keepAlive
	c.MaxStreamWindowSize = window
	// A stream that is half closed waits this long for the other half.
	c.StreamCloseTimeout = time.Minute
	c.StreamOpenTimeout = 3 * keepAlive
	c.LogOutput = io.Discard
	return c
}

// ControllerConfig is Config for the controller's side, which does not trust the host.
func ControllerConfig(keepAlive time.Duration) *yamux.Config {
	c := Config(keepAlive)
	c.MaxStreamWindowSize = answerWindow
	c.AcceptBacklog = answerBacklog
	return c
}
