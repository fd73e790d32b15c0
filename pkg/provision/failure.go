package provision

import (
	"errors"
	"strings"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/steps/preflight"
)

// resourceError carries what the host reported of a failure into events and status.
func resourceError(err error, r *hostapi.ResourceError) error {
	detail := engine.Detail{Reason: string(r.Reason), Output: strings.Join(r.Output, "\n")}
	if r.ExitCode != 0 {
		code := r.ExitCode
		detail.ExitCode = &code
	}
	err = engine.WithDetail(err, detail)
	if r.Retryable {
		return engine.Retryable(err)
	}
	return engine.Permanent(err)
}

// connectReason is the word status shows for a host that cannot be reached.
func connectReason(err error) string {
	var (
		changed     *ssh.HostKeyChangedError
		unknown     *ssh.UnknownHostKeyError
		auth        *ssh.AuthError
		sudo        *ssh.SudoError
		forbidden   *ssh.ForwardingProhibitedError
		unreachable *ssh.UnreachableError
		place       *ssh.PlaceError
		owned       *hostapi.OwnedByOtherError
		protocol    *hostapi.ProtocolMismatchError
		platform    *PlatformError
	)
	switch {
	case errors.As(err, &changed):
		return "HostKeyChanged"
	case errors.As(err, &unknown):
		return "HostKeyUnknown"
	case errors.As(err, &auth):
		return "AuthenticationFailed"
	case errors.As(err, &sudo):
		return "SudoFailed"
	case errors.As(err, &forbidden):
		return "BastionForbidsForwarding"
	case errors.As(err, &unreachable):
		return "Unreachable"
	case errors.As(err, &place):
		return "HelperNotPlaced"
	case errors.As(err, &owned):
		return "HostOwnedByOtherCluster"
	case errors.As(err, &protocol):
		return "HelperProtocolMismatch"
	case errors.As(err, &platform):
		return "PlatformNotInBundle"
	}
	return "ConnectFailed"
}

// PreflightError says what stands in the way on one host.
type PreflightError struct {
	Host     string
	Problems []preflight.Problem
}

// Error lists the problems.
func (e *PreflightError) Error() string { return preflight.Format(e.Problems) }

// Detail gives the first problem's check as the reason.
func (e *PreflightError) Detail() engine.Detail { return engine.Detail{Reason: e.Problems[0].Check} }
