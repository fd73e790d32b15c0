package kernel

import (
	"slices"
	"strings"
	"testing"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

const (
	instances = "fs.inotify.max_user_instances"
	watches   = "fs.inotify.max_user_watches"
)

// limited are facts of a host with a limit and with files that set it, each as "path value".
func limited(key, value string, settings ...string) *hostapi.Facts {
	f := hostapi.SysctlFact{Key: key, Value: value}
	for i, s := range settings {
		file, set, _ := strings.Cut(s, " ")
		f.Settings = append(f.Settings, hostapi.SysctlSetting{File: file, Line: i + 1, Value: set})
	}
	return &hostapi.Facts{Sysctls: []hostapi.SysctlFact{f}}
}

// conf is the content of our file.
func conf(t *testing.T, facts *hostapi.Facts) string {
	t.Helper()
	for _, r := range Resources(facts) {
		if r.File != nil && r.File.Path == ConfPath {
			return string(r.File.Content)
		}
	}
	t.Fatalf("there is no %s", ConfPath)
	return ""
}

func TestALimitIsOnlyRaised(t *testing.T) {
	for name, test := range map[string]struct {
		facts *hostapi.Facts
		line  string
	}{
		"the kernel's low default is raised":                     {limited(instances, "128"), instances + " = 8192\n"},
		"a default that is high enough stays":                    {limited(watches, "1048576"), ""},
		"what we raised stays raised":                            {limited(instances, "8192", ConfPath+" 8192"), instances + " = 8192\n"},
		"what somebody raised further by hand is no other file":  {limited(instances, "16384", ConfPath+" 8192"), instances + " = 8192\n"},
		"a file that raises it further is left to do so":         {limited(instances, "16384", "/etc/sysctl.d/10-theirs.conf 16384", ConfPath+" 8192"), ""},
		"a file that raises it too little is not":                {limited(instances, "512", "/etc/sysctl.d/10-theirs.conf 512"), instances + " = 8192\n"},
		"a limit that an earlier helper says nothing of is left": {&hostapi.Facts{}, ""},
		"a limit that the kernel lacks is left":                  {limited(instances, ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, limits, _ := strings.Cut(conf(t, test.facts), "net.ipv4.conf.default.forwarding = 1\n")
			if limits != test.line {
				t.Errorf("our file has %q, want %q", limits, test.line)
			}
			for _, r := range Resources(test.facts) {
				if r.Sysctl != nil && strings.HasPrefix(r.Sysctl.Key, "fs.") != r.Sysctl.AtLeast {
					t.Errorf("%s would be lowered: %+v", r.ID, r.Sysctl)
				}
			}
		})
	}
}

func TestTheFileOfEarlierVersionsGoesWhereItIsOurs(t *testing.T) {
	removed := func(f *hostapi.Facts) bool {
		return slices.ContainsFunc(Resources(f), func(r hostapi.Resource) bool { return r.Absent != nil && r.Absent.Path == formerConf })
	}
	if removed(&hostapi.Facts{}) {
		t.Error("a file that is not ours would be removed")
	}
	if !removed(&hostapi.Facts{OwnedPaths: []string{"/etc/containerd/config.toml", formerConf}}) {
		t.Error("ours stays")
	}
}

func TestOnlyALineThatIsReadAfterOursWins(t *testing.T) {
	for file, wins := range map[string]bool{
		"/etc/sysctl.conf":                     true,
		"/etc/sysctl.d/zzzz.conf":              true,
		"/run/sysctl.d/zzz-later.conf":         true,
		"/etc/sysctl.d/99-sysctl.conf":         false,
		"/etc/sysctl.d/zz-theirs.conf":         false,
		"/usr/lib/sysctl.d/50-pid-max.conf":    false,
		"/usr/lib/sysctl.d/Z-capital.conf":     false,
		"/usr/local/lib/sysctl.d/zzz-aaa.conf": false,
	} {
		for _, key := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv4.conf.default.forwarding"} {
			if got := OverruledBy(limited(key, "1", ConfPath+" 1", file+" 0")); (len(got) == 1) != wins {
				t.Errorf("%s = 0 in %s: %+v, want it named: %v", key, file, got, wins)
			}
		}
		if got := OverruledBy(limited("net.ipv4.ip_forward", "1", file+" 1")); len(got) != 0 {
			t.Errorf("a line of %s that says the same is named: %+v", file, got)
		}
	}
}

func TestTheHelperLooksAtEveryParameter(t *testing.T) {
	facts := &hostapi.Facts{Features: hostapi.KernelFeatures{BrNetfilter: true}}
	for _, key := range hostapi.NodeSysctls() {
		facts.Sysctls = append(facts.Sysctls, hostapi.SysctlFact{Key: key, Value: "0"})
	}
	var set []string
	for _, s := range parameters(facts) {
		set = append(set, s.Key)
	}
	if !slices.Equal(set, hostapi.NodeSysctls()) {
		t.Errorf("nodes need %v, the helper looks at %v", set, hostapi.NodeSysctls())
	}
}
