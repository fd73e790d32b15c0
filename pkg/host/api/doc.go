// Package api holds the messages that a controller and the host helper exchange: requests, answers, typed errors and
// the vocabulary of resources a host can be asked to have. It has no behaviour beyond validation and must not know how
// a message travels, how a resource is applied, or anything of Kubernetes.
package api

// ProtocolVersion is the version of these messages. It goes up whenever an older peer would misread a message; the
// two sides refuse each other when their versions differ, because the helper is always placed by digest anyway.
const ProtocolVersion = 2

// The HTTP paths of the requests. Everything that may change a host needs the lease and carries TokenHeader.
const (
	PathHello        = "/v1/hello"
	PathFacts        = "/v1/facts"
	PathCheck        = "/v1/check"
	PathApply        = "/v1/apply"
	PathLeaseAcquire = "/v1/lease/acquire"
	PathLeaseRelease = "/v1/lease/release"
	PathLogs         = "/v1/logs"
	PathOperations   = "/v1/operations"
	PathReset        = "/v1/reset"
	PathPublicFile   = "/v1/public-file"
	PathDial         = "/v1/dial"
	// PathBlobs is served by the controller over the reverse direction (and by stores and peers directly): the
	// prefix of GET <prefix><hex of the sha256>.
	PathBlobs = "/blobs/sha256/"
)

// DialProtocol is what a connection becomes once PathDial was granted (Upgrade of RFC 9110, section 7.8).
const DialProtocol = "kubewright-dial"

// TokenHeader carries the fencing token of the lease, in decimal.
const TokenHeader = "Kubewright-Fencing-Token" //nolint:gosec // the name of a header, not a secret
