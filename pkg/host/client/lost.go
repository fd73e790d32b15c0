package client

import "fmt"

// LostError says that the connection to the helper broke before an answer came. The host may or may not have done what
// was asked; the same request over a new session finds out, so it is always right to try again.
type LostError struct{ Err error }

func (e *LostError) Error() string {
	return fmt.Sprintf("connection to the host helper lost: %v", e.Err)
}

// Unwrap gives the error of the transport.
func (e *LostError) Unwrap() error { return e.Err }

// Retryable is always true.
func (e *LostError) Retryable() bool { return true }
