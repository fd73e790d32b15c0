package kubewright

import (
	"fmt"
	"regexp"
	"strconv"
)

// Content is how much of a bundle moved to hosts, in bytes as exact as they were printed.
type Content struct {
	// All bytes, and those of them that went over SSH.
	All, OverSSH int64
}

var contentLine = regexp.MustCompile(`(?:, |\s)([\d.]+) (B|KiB|MiB|GiB|TiB) of content, ([\d.]+) (B|KiB|MiB|GiB|TiB) of it over SSH\b`)

// ContentIn finds in what `kubewright up` or `kubewright status` printed how much content moved.
func ContentIn(printed string) (Content, error) {
	found := contentLine.FindAllStringSubmatch(printed, -1)
	if len(found) != 1 {
		return Content{}, fmt.Errorf("%d lines say how much content moved, want one:\n%s", len(found), printed)
	}
	all, err := bytesOf(found[0][1], found[0][2])
	if err != nil {
		return Content{}, err
	}
	overSSH, err := bytesOf(found[0][3], found[0][4])
	return Content{All: all, OverSSH: overSSH}, err
}

// bytesOf reads a number of bytes the way people are told it.
func bytesOf(number, unit string) (int64, error) {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q as a number of bytes: %w", number, err)
	}
	shift := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[unit]
	return int64(n * float64(int64(1)<<shift)), nil
}
