package fetch

// Message is one line of JSON on the program's standard output. Exactly one of its fields is set. Progress comes again and again, at
// least once a second, also when nothing moves: a program whose reader is gone notices by that and ends. Result or Failure is the last.
type Message struct {
	Progress *Progress `json:"progress,omitempty"`
	Result   *Result   `json:"result,omitempty"`
	Failure  *Error    `json:"failure,omitempty"`
}

// Progress is how far a fetch has come, in bytes of the file.
type Progress struct {
	// Done bytes are in the part.
	Done int64 `json:"done"`
	// Total bytes the file has according to its server; zero while unknown.
	Total int64 `json:"total,omitempty"`
	// Resumed is how many of Done an earlier fetch had brought.
	Resumed int64 `json:"resumed,omitempty"`
}

// Result is what a fetch brought.
type Result struct {
	// Size of the file in bytes, and its SHA256 as hexadecimal digits, computed while it was written.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Received is how many bytes came in this run; the others were there already.
	Received int64 `json:"received"`
}
