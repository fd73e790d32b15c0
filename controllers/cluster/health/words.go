package health

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

const (
	// maxRefusal is how much of the body of a refusal is read.
	maxRefusal = 16 << 10
	// maxFailed is how many checks that failed are named.
	maxFailed = 10
	// maxWords bounds what is said of a failure, in bytes; it may repeat what the server sent.
	maxWords = 1024
)

// inWords says why a server did not answer, in the same words each time: no port of ours, no time of day. What is said goes into a
// status, and must change only when the cause does.
func inWords(err error, server string, timeout time.Duration) error {
	if timedOut, ok := errors.AsType[net.Error](err); ok && timedOut.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s did not answer within %s", server, timeout)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("the certificate of %s has expired or is not valid yet", server)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %s: %w", server, op.Op, op.Err)
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", server, request.Err)
	}
	return fmt.Errorf("%s %w", server, err)
}

// refusal says what a server answered that did not say yes. Of /readyz's answer it takes the checks that failed.
func refusal(path string, response *http.Response) error {
	text := fmt.Sprintf("answered %s with %d", path, response.StatusCode)
	if response.StatusCode == http.StatusForbidden {
		return &forbiddenError{text}
	}
	if response.StatusCode != http.StatusInternalServerError {
		return errors.New(text)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err != nil {
		return errors.New(text)
	}
	var failed []string
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "[-]"); ok {
			if name, _, ok := strings.Cut(rest, " "); ok && len(failed) < maxFailed {
				failed = append(failed, inbound.Head(name, maxName))
			}
		}
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		text += ": " + strings.Join(failed, ", ") + " failed"
	}
	return errors.New(text)
}

// forbiddenError says that who asked may not.
type forbiddenError struct{ text string }

func (e *forbiddenError) Error() string { return e.text }

func isForbidden(err error) bool {
	_, ok := errors.AsType[*forbiddenError](err)
	return ok
}
