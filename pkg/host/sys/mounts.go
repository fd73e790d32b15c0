package sys

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Mount is one mount of the host, as proc(5) describes /proc/self/mountinfo.
type Mount struct {
	ID, Parent int
	// Device is the major:minor of the file system, Root the directory in it that is mounted at At.
	Device, Root, At string
}

// Mounts is what is mounted on the host. Paths that it is asked about have their links resolved.
type Mounts struct {
	all  []Mount
	byID map[int]Mount
}

// Mounts reads what is mounted now.
func (s *System) Mounts() (*Mounts, error) {
	data, err := os.ReadFile(s.Path("/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("find out what is mounted: %w", err)
	}
	m := &Mounts{byID: map[int]Mount{}}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		id, idErr := strconv.Atoi(f[0])
		parent, parentErr := strconv.Atoi(f[1])
		if idErr != nil || parentErr != nil {
			return nil, fmt.Errorf("find out what is mounted: /proc/self/mountinfo has the line %q", strings.TrimSpace(line))
		}
		x := Mount{ID: id, Parent: parent, Device: f[2], Root: unescape(f[3]), At: unescape(f[4])}
		m.all = append(m.all, x)
		m.byID[id] = x
	}
	return m, nil
}

// unescape undoes how the kernel and fstab write blanks and other special characters: as three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parent is the mount that x is mounted on, false for the root.
func (m *Mounts) parent(x Mount) (Mount, bool) {
	parent, ok := m.byID[x.Parent]
	return parent, ok && parent.ID != x.ID
}

// Below reports whether p is dir or below it.
func Below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// Over is the mount that p lies on: it is found from the root on, as the kernel does, because a mount hides those that were below its
// place before. False where nothing is known of the root.
func (m *Mounts) Over(p string) (Mount, bool) {
	var over Mount
	found := false
	for range len(m.all) {
		next := -1
		for i, x := range m.all {
			parent, nested := m.parent(x)
			if nested == found && (!found || parent.ID == over.ID) && Below(p, x.At) && (next < 0 || len(x.At) < len(m.all[next].At)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		over, found = m.all[next], true
	}
	return over, found
}

// Point reports whether something is mounted at p itself. A directory that is mounted on itself, as some make its mounts shared, does not
// count: what lies there is what lay there before.
func (m *Mounts) Point(p string) bool {
	over, ok := m.Over(p)
	if !ok || over.At != p || p == "/" {
		return false
	}
	device, at := m.pointPlace(over)
	return over.Device != device || over.Root != at
}

// place is where p lies by device: the same for every path that leads there, bind mounts included.
func (m *Mounts) place(p string) (device, at string) {
	over, ok := m.Over(p)
	if !ok {
		return "", p
	}
	return over.Device, path.Join(over.Root, strings.TrimPrefix(p, strings.TrimSuffix(over.At, "/")))
}

// pointPlace is where a mount's mount point lies by device.
func (m *Mounts) pointPlace(x Mount) (device, at string) {
	parent, ok := m.parent(x)
	if !ok {
		return "", x.At
	}
	return parent.Device, path.Join(parent.Root, strings.TrimPrefix(x.At, strings.TrimSuffix(parent.At, "/")))
}

// In lists the mounts whose mount points lie below the directory dir, whatever path they were made by, the newest first. A mount
// at dir itself is not among them.
func (m *Mounts) In(dir string) []Mount {
	device, at := m.place(dir)
	in := map[int]bool{}
	// A mount in a mount can stand before it in the list.
	for grown := true; grown; {
		grown = false
		for _, x := range m.all {
			d, p := m.pointPlace(x)
			if !in[x.ID] && (in[x.Parent] || (d == device && p != at && Below(p, at))) {
				in[x.ID], grown = true, true
			}
		}
	}
	found := slices.DeleteFunc(slices.Clone(m.all), func(x Mount) bool { return !in[x.ID] })
	slices.Reverse(found)
	return found
}

// Visible reports whether the path of the mount leads to it, and not to a mount that lies over it.
func (m *Mounts) Visible(x Mount) bool {
	over, ok := m.Over(x.At)
	return ok && over.ID == x.ID
}

// MountSource is what the mount unit in a file mounts, "" when there is no such unit.
func (s *System) MountSource(unit string) string { return s.unitField(unit, "What=") }

func (s *System) unitField(unit, name string) string {
	text, _ := os.ReadFile(s.Path(unit)) // no unit, no field
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			return value
		}
	}
	return ""
}

// Configured lists the mount points that /etc/fstab and the machine's own mount units name, links resolved: they are the machine's,
// wherever they lie.
func (s *System) Configured() []string {
	var points []string
	fstab, _ := os.ReadFile(s.Path("/etc/fstab")) // a machine may have none
	for line := range strings.Lines(string(fstab)) {
		if f := strings.Fields(line); len(f) >= 2 && !strings.HasPrefix(f[0], "#") && strings.HasPrefix(f[1], "/") {
			points = append(points, unescape(f[1]))
		}
	}
	units, _ := os.ReadDir(s.Path("/etc/systemd/system"))
	for _, u := range units {
		if !strings.HasSuffix(u.Name(), ".mount") {
			continue
		}
		if where := s.unitField("/etc/systemd/system/"+u.Name(), "Where="); where != "" {
			points = append(points, where)
		}
	}
	for i, p := range points {
		if at, err := s.Resolve(p); err == nil {
			points[i] = at
		}
	}
	return points
}
