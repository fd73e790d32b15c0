package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ioCount is what the process asked the kernel to read and write, in bytes; what the kernel sends from file to socket by itself is not
// in it.
type ioCount struct{ read, written int64 }

func readIO() (ioCount, error) {
	fields, err := procFields("/proc/self/io")
	if err != nil {
		return ioCount{}, err
	}
	return ioCount{read: fields["rchar"], written: fields["wchar"]}, nil
}

// peakMemory is the most memory the process has held, in bytes.
func peakMemory() (int64, error) {
	fields, err := procFields("/proc/self/status")
	return fields["VmHWM"] << 10, err
}

// procFields reads the numbers of a file with lines of the form name: number.
func procFields(path string) (map[string]int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what the kernel counts: %w", err)
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		if words := strings.Fields(rest); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				out[name] = n
			}
		}
	}
	return out, nil
}
