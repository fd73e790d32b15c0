package hosts

import "testing"

func TestTheMirrorIsTheOneThisMachineUses(t *testing.T) {
	for name, test := range map[string]struct {
		targets, suite, codename, want string
	}{
		"the source of the suite itself": {
			"http://vendor.test/apt/|stable|stable|main\nhttp://security.test/debian-security/|bookworm-security|bookworm-security|main\nhttp://mirror.test/debian/|bookworm|bookworm|main\n",
			"bookworm", "bookworm", "http://mirror.test/debian",
		},
		"a source that names the suite by alias": {
			"http://mirror.test/debian/|stable|bookworm|main\n", "bookworm", "bookworm", "http://mirror.test/debian",
		},
		"another release comes from this release's mirror": {
			"http://security.test/debian-security/|bookworm-security|bookworm-security|main\nhttp://mirror.test/debian/|bookworm|bookworm|main\n",
			"trixie", "bookworm", "http://mirror.test/debian",
		},
		"the suite's own source before this release's": {
			"http://old.test/debian/|bookworm|bookworm|main\nhttp://new.test/debian/|trixie|trixie|main\n",
			"trixie", "bookworm", "http://new.test/debian",
		},
		"a medium that debootstrap cannot read is passed over": {
			"cdrom://Debian/|bookworm|bookworm|main\nfile:/srv/debian/|bookworm|bookworm|main\n", "bookworm", "bookworm", "file:/srv/debian",
		},
		"other components do not count": {
			"http://mirror.test/debian/|bookworm|bookworm|contrib\n", "bookworm", "bookworm", "",
		},
		"no sources at all": {"", "bookworm", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := chooseMirror([]byte(test.targets), test.suite, test.codename); got != test.want {
				t.Errorf("mirror %q, want %q", got, test.want)
			}
		})
	}
}

func TestOnlyDebianAndItsChildrenHaveApt(t *testing.T) {
	for name, test := range map[string]struct {
		release string
		want    bool
	}{
		"Debian":           {"ID=debian\nVERSION_CODENAME=bookworm\n", true},
		"Ubuntu":           {"ID=ubuntu\nID_LIKE=debian\n", true},
		"a child of both":  {"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", true},
		"Fedora":           {"ID=fedora\n", false},
		"no file":          {"", false},
		"a name alike one": {"ID=notdebian\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseOSRelease([]byte(test.release)).hasApt(); got != test.want {
				t.Errorf("has apt: %v, want %v", got, test.want)
			}
		})
	}
}
