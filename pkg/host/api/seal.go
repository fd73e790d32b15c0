package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
)

// Seal stands for the content of a secret file in a request that only looks: enough to tell whether a host has that content, and
// nothing that could be used by one that has not.
type Seal struct {
	// Key is random, and another one in every request, so that what one host is sent says nothing about what another holds.
	Key []byte `json:"key"`
	// MAC is the HMAC-SHA256 of the content under Key.
	MAC []byte `json:"mac"`
	// Size of the content in bytes.
	Size int64 `json:"size"`
}

// NewSeal seals content under a key.
func NewSeal(key, content []byte) *Seal {
	return &Seal{Key: key, MAC: mac(key, content), Size: int64(len(content))}
}

// Opens reports whether content is what was sealed.
func (s *Seal) Opens(content []byte) bool {
	return int64(len(content)) == s.Size && hmac.Equal(mac(s.Key, content), s.MAC)
}

func mac(key, content []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(content)
	return h.Sum(nil)
}

// Look returns the resources as a request that only looks may carry them: without anything secret. A secret file is sealed, or goes
// without content where only its being there matters, and a command goes without its files, which are of no use until it is run.
func Look(resources []Resource, seal func(content []byte, f *File)) []Resource {
	looks := slices.Clone(resources)
	for i := range looks {
		switch r := &looks[i]; {
		case r.File != nil && r.File.Secret && r.File.Blob == "":
			f := *r.File
			f.Content = nil
			if !f.Keep {
				seal(r.File.Content, &f)
			}
			r.File = &f
		case r.Command != nil && len(r.Command.Files) > 0:
			c := *r.Command
			c.Files = nil
			r.Command = &c
		}
	}
	return looks
}
