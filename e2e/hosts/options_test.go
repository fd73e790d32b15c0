package hosts

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOptionsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"a fleet without a name":                  {Options{}, "fleet name"},
		"a fleet name with shell characters":      {Options{Name: "a;b"}, `"a;b"`},
		"a fleet name that leaves its directory":  {Options{Name: "../x"}, `"../x"`},
		"more hosts than addresses":               {Options{Name: "x", Count: 101}, "101 hosts"},
		"fewer hosts than none":                   {Options{Name: "x", Count: -1}, "-1 hosts"},
		"a subnet without room for the addresses": {Options{Name: "x", Subnet: netip.MustParsePrefix("10.0.0.0/26")}, "10.0.0.0/26"},
		"a subnet of IPv6":                        {Options{Name: "x", Subnet: netip.MustParsePrefix("fd00::/64")}, "fd00::/64"},
		"a suite that is an option":               {Options{Name: "x", Suite: "--help"}, `"--help"`},
		"root among the users":                    {Options{Name: "x", Users: []User{{Name: "root"}}}, "user root"},
		"a user name with a space":                {Options{Name: "x", Users: []User{{Name: "a b"}}}, `"a b"`},
		"a password with a line break":            {Options{Name: "x", Users: []User{{Name: "a", Password: "b\nroot:c"}}}, "line break"},
		"a sudo mode nobody knows":                {Options{Name: "x", Users: []User{{Name: "a", Sudo: "maybe"}}}, `"maybe"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.options.withDefaults()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that holds %q", err, test.want)
			}
		})
	}
}

func TestTheDefaultsAreAUsableFleet(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	o, err := Options{Name: "dev"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.Count != 1 || len(o.Users) != 2 || !strings.HasSuffix(o.StateDir, "/fleets/dev") || o.CacheDir == "" || o.Log == nil {
		t.Errorf("defaults %+v", o)
	}
}
