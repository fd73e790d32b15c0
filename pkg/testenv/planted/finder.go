package planted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
)

// Finder looks for many secrets in one pass, so that gigabytes can be searched.
type Finder struct {
	// begins holds the forms of secrets by their first bytes, maybe a bit for each of these that says whether to look there at all.
	begins map[uint64][]form
	maybe  [1 << bits / 64]uint64
	// short are forms with less than the bytes that begins goes by.
	short []form
	// longest form, in bytes.
	longest int
}

type form struct {
	name string
	text []byte
}

const (
	// begin is how many bytes of a form are looked up.
	begin = 8
	// bits of the table that is asked first.
	bits = 18
)

// NewFinder makes a Finder of secrets in each form that they may come out in: as they are, in base64 (also as a part of something longer,
// and twice), in hexadecimal, and escaped for JSON, Go and URLs.
func NewFinder(secrets ...Secret) *Finder {
	f := &Finder{begins: map[uint64][]form{}}
	for _, s := range secrets {
		seen := map[string]bool{}
		for _, text := range forms(s.Value) {
			if len(text) == 0 || seen[string(text)] {
				continue
			}
			seen[string(text)] = true
			f.longest = max(f.longest, len(text))
			if len(text) < begin {
				f.short = append(f.short, form{s.Name, text})
				continue
			}
			key := binary.LittleEndian.Uint64(text)
			f.begins[key] = append(f.begins[key], form{s.Name, text})
			f.maybe[slot(key)/64] |= 1 << (slot(key) % 64)
		}
	}
	return f
}

// slot spreads beginnings over the table.
func slot(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> (64 - bits) }

// In lists the names of the secrets that a text holds, each once.
func (f *Finder) In(text []byte) []string {
	found := map[string]bool{}
	f.find(text, found)
	return slices.Sorted(maps.Keys(found))
}

// InStream is In for what is too long to be held at once.
func (f *Finder) InStream(r io.Reader) ([]string, error) {
	found := map[string]bool{}
	kept := max(f.longest, 1) - 1
	window := make([]byte, kept+1<<20)
	have := 0
	for {
		n, err := io.ReadFull(r, window[have:])
		have += n
		f.find(window[:have], found)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return slices.Sorted(maps.Keys(found)), nil
		}
		if err != nil {
			return nil, err
		}
		// A secret may lie across the cut.
		have = copy(window, window[have-kept:have])
	}
}

func (f *Finder) find(text []byte, found map[string]bool) {
	for _, s := range f.short {
		if bytes.Contains(text, s.text) {
			found[s.name] = true
		}
	}
	for i := 0; i+begin <= len(text); i++ {
		key := binary.LittleEndian.Uint64(text[i:])
		if s := slot(key); f.maybe[s/64]&(1<<(s%64)) == 0 {
			continue
		}
		for _, s := range f.begins[key] {
			if bytes.HasPrefix(text[i:], s.text) {
				found[s.name] = true
			}
		}
	}
}
