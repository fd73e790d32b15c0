package fetch

import "errors"

// Kind says what can be done about a failure. It is what callers decide on.
type Kind string

const (
	// Invalid is a request that cannot be right.
	Invalid Kind = "Invalid"
	// NotAllowed is a source, a redirect or an address that the rules forbid.
	NotAllowed Kind = "NotAllowed"
	// Unreachable is a server that did not answer, answered that it cannot now, or fell silent. Trying again may help.
	Unreachable Kind = "Unreachable"
	// Unauthorized is a server that wants other credentials.
	Unauthorized Kind = "Unauthorized"
	// NotFound is a server, or a directory, without the file.
	NotFound Kind = "NotFound"
	// Refused is an answer that cannot be accepted: one whose end cannot be told from a cut, a foreign encoding, too many redirects.
	Refused Kind = "Refused"
	// TooLarge is a file beyond the limit.
	TooLarge Kind = "TooLarge"
	// Mismatch is a file that is not the expected one. What was fetched of it is removed.
	Mismatch Kind = "Mismatch"
	// DiskFull is a file system without room. What was fetched stays, and the next fetch goes on with it.
	DiskFull Kind = "DiskFull"
	// Busy is another process that fetches to the same destination.
	Busy Kind = "Busy"
	// Failed is anything else: the file system, or the program itself.
	Failed Kind = "Failed"
)

// Error is why a fetch failed. Its message holds no credentials, and of URLs no query.
type Error struct {
	// Kind is what callers decide on.
	Kind Kind `json:"kind"`
	// Message says what failed, where, and what to do next.
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// KindOf returns the kind of an error; Failed for one that has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}
