package ssh

import (
	"net"
	"sync/atomic"
)

// wire is the byte stream under a connection; it counts what passes and remembers that it broke.
type wire struct {
	net.Conn
	sent, received atomic.Int64
	broken         atomic.Bool
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.received.Add(int64(n))
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.Add(int64(n))
	if err != nil {
		w.broken.Store(true)
		// A stream that cannot be written to is of no use; this ends the reading side, too, and with it the connection.
		_ = w.Close()
	}
	return n, err
}

// Stats counts what went over connections; the bytes are those on the wire, encrypted and with all overhead.
type Stats struct {
	// Connections is how many authenticated connections were made.
	Connections int64
	// Sessions is how many programs were started.
	Sessions int64
	// BytesSent went to the host.
	BytesSent int64
	// BytesReceived came from the host.
	BytesReceived int64
}

// Add returns the sum of s and o.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		Connections:   s.Connections + o.Connections,
		Sessions:      s.Sessions + o.Sessions,
		BytesSent:     s.BytesSent + o.BytesSent,
		BytesReceived: s.BytesReceived + o.BytesReceived,
	}
}
