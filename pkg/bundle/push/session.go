package push

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// sessions remembers where uploads that are under way go on, in a directory, one small file for each. Without a directory nothing is
// remembered. What is in it decides nothing but how much is sent: a registry hashes what it gets.
type sessions struct{ dir string }

// session is one upload. It is held by one process at a time.
type session struct {
	file *os.File
}

// location is what a session's file holds.
type location struct {
	Registry   string        `json:"registry"`
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// URL is where the registry takes what follows.
	URL string `json:"url"`
}

// open returns the session of a blob's upload to a repository and where it goes on, if anybody knows. It remembers nothing while another
// process has it.
func (s sessions) open(to location) (*session, *url.URL, error) {
	if s.dir == "" {
		return &session{}, nil, nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("remember where an upload goes on: %w", err)
	}
	sum := sha256.Sum256([]byte(to.Registry + "\n" + to.Repository + "\n" + to.Digest.String()))
	f, err := os.OpenFile(filepath.Join(s.dir, hex.EncodeToString(sum[:16])+".json"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("remember where an upload goes on: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &session{}, nil, f.Close()
	}
	return &session{file: f}, to.readFrom(f), nil
}

// readFrom returns where an upload goes on, or nil when the file does not say so of this one.
func (l location) readFrom(f io.Reader) *url.URL {
	const most = 64 << 10 // a URL and a few names
	var have location
	if json.NewDecoder(io.LimitReader(f, most)).Decode(&have) != nil {
		return nil
	}
	at, err := url.Parse(have.URL)
	if have.URL = ""; err != nil || have != l || at.Host == "" {
		return nil
	}
	return at
}

// keep remembers where the upload goes on.
func (s *session) keep(to location, at *url.URL) error {
	if s.file == nil {
		return nil
	}
	to.URL = at.String()
	raw, err := json.Marshal(to)
	if err == nil {
		err = s.file.Truncate(0)
	}
	if err == nil {
		_, err = s.file.WriteAt(raw, 0)
	}
	if err != nil {
		return fmt.Errorf("remember where an upload goes on: %w", err)
	}
	return nil
}

// forget removes what is remembered: the upload has come to its end, or cannot be gone on with.
func (s *session) forget() error {
	if s.file == nil {
		return nil
	}
	if err := os.Remove(s.file.Name()); err != nil {
		return fmt.Errorf("forget where an upload goes on: %w", err)
	}
	return nil
}

func (s *session) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
