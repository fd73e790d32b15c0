package sys

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// maxLinks is how many links are followed in one path, as in the kernel (path_resolution(7)).
const maxLinks = 40

// Resolve returns the path of the host that p leads to, every link in it followed, the last one too. What does not exist is taken as
// it is written. Links stay below Root, as they do for the programs of the host.
func (s *System) Resolve(p string) (string, error) {
	at, left, links := "/", strings.Split(path.Clean("/"+p), "/"), 0
	for len(left) > 0 {
		name := left[0]
		left = left[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		fi, err := os.Lstat(s.Path(next))
		switch {
		case Missing(err):
			return path.Join(append([]string{next}, left...)...), nil
		case err != nil:
			return "", fmt.Errorf("find where %s leads: %w", p, err)
		case fi.Mode()&os.ModeSymlink == 0:
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("find where %s leads: more than %d links", p, maxLinks)
		}
		target, err := os.Readlink(s.Path(next))
		if err != nil {
			return "", fmt.Errorf("find where %s leads: %w", p, err)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return at, nil
}
