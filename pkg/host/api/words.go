package api

import (
	"fmt"
	"regexp"
	"strconv"
)

// BlobMissing is what the verdict on a blob says that the host does not hold; MissingBytes reads it.
func BlobMissing(size int64) string { return fmt.Sprintf("%d bytes are not on the host", size) }

var missingBytes = regexp.MustCompile(`^(\d+) bytes are not on the host$`)

// MissingBytes is the size of a blob that a host does not hold, out of the verdict on it; false for everything else.
func MissingBytes(why string) (int64, bool) {
	found := missingBytes.FindStringSubmatch(why)
	if found == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	return n, err == nil
}
