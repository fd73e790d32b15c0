package api

import (
	"strings"
	"time"
)

// HelloRequest opens a session. The helper journals everything in this session under Operation.
type HelloRequest struct {
	Protocol  int    `json:"protocol"`
	Operation string `json:"operation"`
	Holder    string `json:"holder"`
	// Peers are the addresses of the cluster that connections may lead to from this host, beside the host itself: see DialRequest.
	Peers []string `json:"peers,omitempty"`
}

// FactsRequest asks what the host is.
type FactsRequest struct {
	// Directories are looked at beside those that every node fills: their disks, and whether something is in them.
	Directories []string `json:"directories,omitempty"`
}

// MountUnit names the systemd unit of what is mounted at a place, a path without characters that systemd escapes.
func MountUnit(place string) string {
	return strings.ReplaceAll(strings.Trim(place, "/"), "/", "-") + ".mount"
}

// HelloResponse says who answers. Facts come along so that a session which only looks needs no further request for them.
type HelloResponse struct {
	Protocol int `json:"protocol"`
	// Digest is the sha256 of the helper's own executable, "sha256:<hex>".
	Digest string `json:"digest"`
	PID    int    `json:"pid"`
	// Dials says that the helper answers a DialRequest; those of earlier releases do not.
	Dials bool `json:"dials,omitempty"`
	// Seals reports that this helper compares sealed files. One out of a bundle of an earlier release does not.
	Seals bool   `json:"seals,omitempty"`
	Facts *Facts `json:"facts,omitempty"`
}

// Owner is the cluster a host belongs to. UID decides; the name is for people.
type Owner struct {
	ClusterName string `json:"clusterName"`
	ClusterUID  string `json:"clusterUID"`
}

// CheckRequest asks how far a host is from having the resources. It changes nothing, and carries nothing secret.
type CheckRequest struct {
	Step      string     `json:"step"`
	Resources []Resource `json:"resources"`
}

// CheckResponse has one verdict per resource, in the order asked.
type CheckResponse struct {
	Verdicts []Verdict `json:"verdicts"`
}

// ApplyRequest asks to make the resources so, in order (neighbouring blobs and neighbouring images go in parallel).
type ApplyRequest struct {
	Step string `json:"step"`
	// Owner is claimed for the host by the first Apply; a host owned by another UID refuses.
	Owner     Owner      `json:"owner"`
	Resources []Resource `json:"resources"`
	// Sources are tried in order for blobs before the tunnel.
	Sources []Source `json:"sources,omitempty"`
	// StallMillis is how long a blob may bring nothing before its transfer counts as failed; 0 means 3 minutes. A transfer that goes on,
	// however slowly, has no limit.
	StallMillis int64 `json:"stallMillis,omitempty"`
}

// Source is a place that serves blobs by digest over plain HTTP: safe because only the digest is trusted.
type Source struct {
	// URL is http://address:port. An empty host ("http://:8080") means the address the SSH connection came from.
	URL string `json:"url"`
	// Token is sent as a bearer token. It never appears in a log.
	Token string `json:"token,omitempty"`
}

// State is what a check found.
type State string

const (
	// Done means the host has the resource.
	Done State = "Done"
	// Needed means Apply has something to do.
	Needed State = "Needed"
	// Unknown means the check could not tell; Why says what stood in the way.
	Unknown State = "Unknown"
)

// Verdict is the result of checking one resource.
type Verdict struct {
	Resource string `json:"resource"`
	Kind     Kind   `json:"kind"`
	State    State  `json:"state"`
	Why      string `json:"why,omitempty"`
	// Diff is a bounded unified diff for small text that is not secret.
	Diff string `json:"diff,omitempty"`
	// Changed says that this Apply did something for it (false when it was Done already).
	Changed bool `json:"changed,omitempty"`
	// Running says that a detached command is under way and Apply will attach to it.
	Running bool `json:"running,omitempty"`
	// Unit says how a unit that should run does; nil for everything else.
	Unit *UnitRun `json:"unit,omitempty"`
}

// UnitRun is how a unit has been running.
type UnitRun struct {
	// Since is when its program was begun last, by the host's clock in microseconds since 1970; 0 when it does not run.
	Since int64 `json:"since,omitempty"`
	// Restarts counts how often systemd has begun it anew because it had ended by itself.
	Restarts int `json:"restarts,omitempty"`
	// Output is the end of its journal, redacted, when it does not run or ended by itself within the last minute.
	Output []string `json:"output,omitempty"`
}

// Progress is one sign of life during an Apply or a Reset.
type Progress struct {
	Resource string `json:"resource,omitempty"`
	Kind     Kind   `json:"kind,omitempty"`
	// Message is one line for people: a line of output, or what is being done.
	Message string `json:"message,omitempty"`
	// Done and Total count bytes of blobs; Total is 0 when bytes are not what is counted.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
	// Via says how bytes came: "direct" or "tunnel".
	Via string `json:"via,omitempty"`
}

// Event is one line of a streamed answer (NDJSON): exactly one field is set. A stream without Result or Error as its
// last line was cut off.
type Event struct {
	Progress *Progress   `json:"progress,omitempty"`
	Result   *Result     `json:"result,omitempty"`
	Error    *ErrorReply `json:"error,omitempty"`
}

// Result ends a stream that succeeded.
type Result struct {
	Verdicts []Verdict    `json:"verdicts,omitempty"`
	Reset    *ResetReport `json:"reset,omitempty"`
	// BytesDirect and BytesTunnel count the blob bytes that this request received, by path.
	BytesDirect int64 `json:"bytesDirect,omitempty"`
	BytesTunnel int64 `json:"bytesTunnel,omitempty"`
}

// LeaseRequest asks for the lease of the host.
type LeaseRequest struct {
	// WaitMillis bounds how long to wait for another holder to let go; 0 means do not wait.
	WaitMillis int64 `json:"waitMillis"`
}

// LeaseResponse carries the fencing token, higher than every token given out on this host before.
type LeaseResponse struct {
	Token int64 `json:"token"`
}

// LogsRequest asks for the journal of an operation and the output of the commands it started.
type LogsRequest struct {
	Operation string `json:"operation"`
	// Tail bounds the entries and the output lines per command, newest kept; 0 means everything kept on the host.
	Tail int `json:"tail"`
}

// Logs is what a host still knows of an operation.
type Logs struct {
	Entries []JournalEntry `json:"entries"`
	Runs    []RunLog       `json:"runs,omitempty"`
}

// JournalEntry is one line of the journal of an operation.
type JournalEntry struct {
	Time     time.Time `json:"time"`
	Step     string    `json:"step,omitempty"`
	Resource string    `json:"resource,omitempty"`
	Kind     Kind      `json:"kind,omitempty"`
	// Event is one of "lease", "apply", "changed", "failed", "reset".
	Event    string `json:"event"`
	Message  string `json:"message,omitempty"`
	Millis   int64  `json:"millis,omitempty"`
	ExitCode *int   `json:"exitCode,omitempty"`
	// Output is the last lines of what failed, redacted.
	Output []string `json:"output,omitempty"`
}

// RunLog is the output of one detached command.
type RunLog struct {
	Name     string    `json:"name"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Running  bool      `json:"running"`
	ExitCode *int      `json:"exitCode,omitempty"`
	Lines    []string  `json:"lines"`
}

// OperationInfo is one operation that left a journal on the host.
type OperationInfo struct {
	Operation string    `json:"operation"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Bytes     int64     `json:"bytes"`
}

// OperationsResponse lists operations, newest first.
type OperationsResponse struct {
	Operations []OperationInfo `json:"operations"`
}

// ResetRequest asks to remove from the host what its ledger says is ours, and nothing else.
type ResetRequest struct {
	// Owner must match the ledger's owner when its UID is not empty.
	Owner Owner `json:"owner"`
	// DryRun only reports what would be done.
	DryRun bool `json:"dryRun,omitempty"`
	// KeepBlobs leaves staged blobs for a later install.
	KeepBlobs bool `json:"keepBlobs,omitempty"`
}

// ResetReport says what Reset did (or would do), item by item.
type ResetReport struct {
	Items []ResetItem `json:"items"`
	// Errors counts the items that failed; the ledger keeps those so that the next Reset tries again.
	Errors int `json:"errors"`
}

// ActionKeep is the Action of what Reset leaves on purpose: backups of etcd.
const ActionKeep = "keep"

// ResetItem is one thing Reset handled.
type ResetItem struct {
	Action string `json:"action"`
	Target string `json:"target"`
	Error  string `json:"error,omitempty"`
}

// PublicFileRequest names a file out of a short list of files without secrets.
type PublicFileRequest struct {
	Path string `json:"path"`
}

// PublicFileResponse is the content of that file.
type PublicFileResponse struct {
	Content []byte `json:"content"`
}
