package push

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Kind says what can be done about a failure.
type Kind string

const (
	// Unauthorized is a registry that wants other credentials.
	Unauthorized Kind = "Unauthorized"
	// Untrusted is a registry whose certificate is signed by nobody who is trusted.
	Untrusted Kind = "Untrusted"
	// Unreachable is a registry that does not answer, or broke off. Running the push again goes on.
	Unreachable Kind = "Unreachable"
	// Refused is anything else that the registry answers.
	Refused Kind = "Refused"
)

// Error is why a push failed. It holds no credentials.
type Error struct {
	// Kind is what callers decide on.
	Kind Kind
	// Registry is its host, What the thing that could not be done there.
	Registry, What string
	// Err is the cause.
	Err error
}

func (e *Error) Error() string {
	do := map[Kind]string{
		Unauthorized: "the registry refuses: give credentials that may push with --docker-config",
		Untrusted:    "its certificate is not trusted: give the authority that signed it with --ca-file",
		Unreachable:  "the registry does not answer or broke off: run it again, and what is there is not sent again",
		Refused:      "the registry refuses it",
	}[e.Kind]
	return fmt.Sprintf("push to %s: %s: %s (%v)", e.Registry, e.What, do, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// failure sorts an error of the registry's library.
func failure(registry, what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Kind: Unreachable, Registry: registry, What: what, Err: err}
	response, answered := errors.AsType[*errcode.ErrorResponse](err)
	_, tlsFailed := errors.AsType[*tls.CertificateVerificationError](err)
	_, netFailed := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound), answered && (response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden):
		e.Kind = Unauthorized
	case tlsFailed:
		e.Kind = Untrusted
	case answered && response.StatusCode < http.StatusInternalServerError, errors.Is(err, errdef.ErrNotFound):
		e.Kind = Refused
	case !answered && !netFailed:
		e.Kind = Refused
	}
	return e
}

// refusedDocument says whether a registry does not take a manifest or index as it is, so that another may do.
func refusedDocument(err error) bool {
	response, ok := errors.AsType[*errcode.ErrorResponse](err)
	return ok && (response.StatusCode == http.StatusBadRequest || response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusUnprocessableEntity)
}
