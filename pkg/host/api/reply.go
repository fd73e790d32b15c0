package api

import "errors"

// RemoteError is a failure of the helper that has no type of its own. Trying again may help.
type RemoteError struct{ Message string }

func (e *RemoteError) Error() string { return "host helper: " + e.Message }

// ReplyOf turns an error into what goes over the wire, keeping its type.
func ReplyOf(err error) *ErrorReply {
	r := &ErrorReply{}
	switch {
	case errors.As(err, &r.Resource), errors.As(err, &r.Fenced), errors.As(err, &r.Held), errors.As(err, &r.Owned),
		errors.As(err, &r.Protocol), errors.As(err, &r.Invalid):
	default:
		r.Message = err.Error()
	}
	return r
}

// Err is the error that the reply carries.
func (r *ErrorReply) Err() error {
	switch {
	case r.Resource != nil:
		return r.Resource
	case r.Fenced != nil:
		return r.Fenced
	case r.Held != nil:
		return r.Held
	case r.Owned != nil:
		return r.Owned
	case r.Protocol != nil:
		return r.Protocol
	case r.Invalid != nil:
		return r.Invalid
	}
	return &RemoteError{Message: r.Message}
}
