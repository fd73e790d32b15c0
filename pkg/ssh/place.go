package ssh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// Placement is a file that a host should have.
type Placement struct {
	// Path is where: absolute, clean, of the characters that Command.Path may have. Its directory is made if need be, and
	// refused if anybody but root (or the login user, without sudo) could change what is in it.
	Path string
	// Digest is the SHA-256 of the content, 64 lower-case hexadecimal digits.
	Digest string
	// Size is the length of the content in bytes.
	Size int64
	// Mode holds the permission bits, at least readable by the owner and not writable by others than the owner.
	Mode fs.FileMode
	// Open gives the content. It is called only if the host does not have the file yet.
	Open func() (io.ReadCloser, error)
	// Progress, which may be nil, is told how many bytes the host has or is being sent, as they go.
	Progress func(done int64)
}

// placeScript puts a file in place: $1 path, $2 digest, $3 size, $4 mode; the content comes on standard input. It answers
// with lines: "present", or "send OFFSET" (it has so many bytes of an earlier try) and "placed"; or at any point "error REASON".
// Its needs are a POSIX shell and coreutils.
//
// It is a constant and goes to the login shell between single quotes. To mean the same in every login shell it holds no
// single quote, exclamation mark, backslash or line break.
var placeScript = strings.Join([]string{
	`set -u`,
	`umask 022`,
	`path=$1 digest=$2 size=$3 mode=$4 tmp= keep=`,
	// What came before a connection broke is kept for the next try, when it is a MiB at least: less is sent again in no time.
	`clean() { if [ -z "$tmp" ]; then :; elif [ -n "$keep" ] && [ "$(stat -c %s -- "$tmp")" -ge 1048576 ]; then mv -f -T -- "$tmp" "$part"; else rm -f -- "$tmp"; fi; }`,
	`trap clean EXIT`,
	// Without a trap for PIPE, the shell would die of its own error message once nobody listens, and leave its file behind.
	`trap "exit 1" HUP INT TERM PIPE`,
	`fail() { echo "error $*"; exit 1; }`,
	`me=$(id -u) || fail "the program id does not work"`,
	`dir=${path%/*}`,
	`dir=${dir:-/}`,
	// Who can write to a directory, or to one above it, can replace what is in it. The sticky bit of /tmp prevents that
	// for what others own, but not that they put in names of their own. What does not exist yet is passed over.
	`guard() { at=$dir`,
	`if [ -L "$dir" ]; then fail "the directory $dir is a symbolic link"; fi`,
	`while :`,
	`do if [ -e "$at" ]; then st=$(stat -L -c "%u %a" -- "$at") || fail "$at cannot be examined"`,
	`set -- $st`,
	`if [ "$1" -eq 0 ] || [ "$1" -eq "$me" ]; then :; else fail "the directory $at belongs to user $1"; fi`,
	`if [ "$at" = "$dir" ]; then case $2 in *[2367]|*[2367]?) fail "the directory $at is writable by other users (mode $2)" ;; esac; fi`,
	`case $2 in [1357]???) ;; *[2367]) fail "the directory $at is writable by everybody (mode $2)" ;; esac`,
	`fi`,
	`if [ "$at" = / ]; then break; fi`,
	`at=${at%/*}`,
	`at=${at:-/}`,
	`done`,
	`}`,
	`guard`,
	// Between the first look and the making of the directory somebody else may have made it, hence the second look.
	`if [ -d "$dir" ]; then :; else mkdir -p -- "$dir" || fail "the directory $dir cannot be made"; guard; fi`,
	`sum() { s=$(sha256sum < "$1") || fail "the program sha256sum does not work"; s=${s%% *}; }`,
	`if [ -d "$path" ]; then fail "a directory is in the way"; fi`,
	`if [ -L "$path" ]; then :; elif [ -f "$path" ]; then set -- $(stat -c "%u %a %s" -- "$path")`,
	`if [ "$*" = "$me $mode $size" ]; then sum "$path"; if [ "$s" = "$digest" ]; then echo present; exit 0; fi; fi; fi`,
	// What a run that was killed has left behind goes after an hour, when nobody can be writing to it any more.
	`find "$dir" -maxdepth 1 -name ".kubewright.????????" -mmin +60 -delete 2> /dev/null`,
	`find "$dir" -maxdepth 1 -name ".kubewright.*.part" -mmin +10080 -delete 2> /dev/null`,
	`part=$dir/.kubewright.$digest.part`,
	`tmp=$(mktemp -- "$dir/.kubewright.XXXXXXXX") || fail "no temporary file can be made in $dir"`,
	// Of several that place the same file at once one takes over what is there, since only one can move it away; it is judged by its digest
	// in the end like everything else.
	`have=0`,
	`if [ -L "$part" ]; then :; elif [ -f "$part" ]; then mv -f -T -- "$part" "$tmp" 2> /dev/null; have=$(stat -c %s -- "$tmp"); fi`,
	`if [ "$have" -gt "$size" ]; then : > "$tmp"; have=0; fi`,
	`while :`,
	`do echo "send $have"`,
	`keep=1`,
	`head -c $((size - have)) >> "$tmp" || { keep=; fail "it cannot be written: is the disk full?"; }`,
	`n=$(stat -c %s -- "$tmp")`,
	`if [ "$n" -eq "$size" ]; then :; else fail "only $n of $size bytes arrived"; fi`,
	`keep=`,
	`sum "$tmp"`,
	`if [ "$s" = "$digest" ]; then break; fi`,
	// The earlier try may have brought something else, or a loss of power have taken it.
	`if [ "$have" -eq 0 ]; then fail "the content that arrived has digest $s, wanted is $digest"; fi`,
	`: > "$tmp"`,
	`have=0`,
	`done`,
	`chmod "$mode" -- "$tmp" || fail "its mode cannot be set"`,
	`sync "$tmp" || fail "it cannot be flushed to disk"`,
	`mv -f -T -- "$tmp" "$path" || fail "it cannot be moved into place"`,
	`tmp=`,
	`sync "$dir" || fail "its directory cannot be flushed to disk"`,
	`echo placed`,
}, "; ")

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Place makes sure that the host has the file, with the right content, owner (root, or the login user without sudo) and
// mode. It takes one session, and moves the content only if the host does not have it; what a call before this one brought
// until its connection broke is not sent again. The file appears in one piece or not at all.
//
// The error is a *PlaceError if the file or its directory is the reason, otherwise as for Start.
func (c *Client) Place(ctx context.Context, f Placement) error {
	if reason := f.check(); reason != "" {
		return &TargetError{Endpoint: c.endpoint, Field: "placement", Reason: reason}
	}
	p, err := c.start(ctx, true, announceScript, "place "+f.Path, placeWords(f)...)
	if err != nil {
		return err
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, p.Close)
	defer stop()
	if err := c.place(p, f); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: place %s: %w", c.endpoint, f.Path, context.Cause(ctx))
		}
		return err
	}
	return nil
}

func (f Placement) check() string {
	if reason := checkPath(f.Path); reason != "" {
		return "path " + reason
	}
	switch {
	case path.Dir(f.Path) == "/":
		return "path is directly below /"
	case !digestForm.MatchString(f.Digest):
		return "digest is not a SHA-256 in lower-case hexadecimal"
	case f.Size <= 0:
		return "size is not positive"
	case f.Mode&^fs.ModePerm != 0 || f.Mode&0o400 == 0 || f.Mode&0o022 != 0:
		return "mode " + f.Mode.String() + " is not a plain one that only the owner may write"
	case f.Open == nil:
		return "has no content"
	}
	return ""
}

func placeWords(f Placement) []string {
	return []string{"/bin/sh", "-c", "'" + placeScript + "'", "kubewright-place",
		f.Path, f.Digest, strconv.FormatInt(f.Size, 10), strconv.FormatUint(uint64(f.Mode), 8)}
}

// place leads the dialogue with placeScript.
func (c *Client) place(p *Process, f Placement) error {
	answers := bufio.NewReader(p.Stdout)
	answer, err := c.answer(p, f, answers)
	switch {
	case err != nil:
		return err
	case answer == "present":
		return nil
	}
	// A host that finds what it had of an earlier try to be wrong asks once more, for all of it.
	for range 2 {
		from, ok := offset(answer, f.Size)
		if !ok {
			break
		}
		if err := c.send(p, f, from); err != nil {
			return err
		}
		// If sending failed because the script gave up, its answer says why, and else how the connection ended.
		if answer, err = c.answer(p, f, answers); err != nil {
			return err
		}
		if answer == "placed" {
			return nil
		}
	}
	return c.unexpected(f, answer)
}

// send gives placeScript the content from an offset on. That the host takes no more is not its error: the answer says why.
func (c *Client) send(p *Process, f Placement, from int64) error {
	content, err := f.Open()
	if err != nil {
		return &PlaceError{Endpoint: c.endpoint, Path: f.Path, Reason: "its content cannot be opened", Err: err}
	}
	defer func() { _ = content.Close() }() // only read from
	source := &countingReader{r: io.LimitReader(content, f.Size), progress: f.Progress}
	_, skipErr := io.CopyN(io.Discard, source, from)
	var sendErr error
	if skipErr == nil {
		_, sendErr = io.CopyBuffer(struct{ io.Writer }{p.Stdin}, source, make([]byte, pumpSize))
	}
	switch {
	case source.err != nil:
		return &PlaceError{Endpoint: c.endpoint, Path: f.Path, Reason: "its content cannot be read", Err: source.err}
	case sendErr == nil && source.n < f.Size:
		return &PlaceError{Endpoint: c.endpoint, Path: f.Path,
			Reason: fmt.Sprintf("its content is only %d bytes long instead of %d", source.n, f.Size)}
	}
	return nil
}

func (c *Client) unexpected(f Placement, answer string) error {
	return &PlaceError{Endpoint: c.endpoint, Path: f.Path, Reason: fmt.Sprintf(
		"the host answered %.80q where an answer of the placing script was due", answer)}
}

// answer reads one line from placeScript; an "error" line, and the end of output, become errors.
func (c *Client) answer(p *Process, f Placement, answers *bufio.Reader) (string, error) {
	line, err := answers.ReadSlice('\n')
	switch {
	case err == nil:
		line := inbound.Line(strings.TrimSpace(string(line)))
		if reason, bad := strings.CutPrefix(line, "error "); bad {
			_ = p.Wait() // it ends now; what it wrote to standard error is complete only then
			return "", &PlaceError{Endpoint: c.endpoint, Path: f.Path, Reason: reason + quoteTail(p.Stderr())}
		}
		return line, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", c.unexpected(f, string(line))
	case !errors.Is(err, io.EOF):
		return "", fmt.Errorf("place %s: %w", f.Path, err)
	}
	if err := p.Wait(); err != nil {
		return "", err
	}
	return "", &PlaceError{Endpoint: c.endpoint, Path: f.Path, Reason: "the placing script ended without an answer"}
}

// offset reads "send OFFSET".
func offset(answer string, size int64) (int64, bool) {
	text, ok := strings.CutPrefix(answer, "send ")
	if !ok {
		return 0, false
	}
	from, err := strconv.ParseInt(text, 10, 64)
	return from, err == nil && from >= 0 && from <= size
}

// countingReader remembers how much was read and why it ended, to tell a source that fails from a connection that does.
type countingReader struct {
	r        io.Reader
	n        int64
	err      error
	progress func(done int64)
}

// Read implements io.Reader.
func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.n += int64(n)
	if r.progress != nil {
		r.progress(r.n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
