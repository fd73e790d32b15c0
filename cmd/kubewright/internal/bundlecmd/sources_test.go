package bundlecmd

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle/builder"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// parsed gives flags to a build and returns what it has against them.
func parsed(t *testing.T, o *builder.Options, args ...string) error {
	t.Helper()
	var s sources
	cmd := &cobra.Command{}
	s.flags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return s.into(o)
}

func put(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFlagsComeBeforeTheSettingsOfASite(t *testing.T) {
	ca := put(t, "ca.pem", "the site's authority")
	secret := base64.StdEncoding.EncodeToString([]byte("user:pass word"))
	config := put(t, "config.json", `{"auths":{"mirror.test:5000":{"auth":"`+secret+`"},"https://index.docker.io/v1/":{"auth":"`+secret+`"},"id.test":{"identitytoken":"x"}}}`)
	settings := put(t, "settings.yaml", "mirrors: [{from: registry.k8s.io, to: settings.test}]\ncaFile: "+ca+"\ndockerConfig: "+config+"\n")
	var o builder.Options
	if err := parsed(t, &o, "--settings", settings, "--mirror", "registry.k8s.io=flag.test", "--allow-loopback-sources"); err != nil {
		t.Fatal(err)
	}
	if got := o.Mirrors.Apply("registry.k8s.io/pause"); got != "flag.test/pause" {
		t.Errorf("images are had from %s", got)
	}
	if len(o.Mirrors) != 2 || o.Mirrors[1] != (upstream.Mirror{From: "registry.k8s.io", To: "settings.test"}) {
		t.Errorf("mirrors are %+v", o.Mirrors)
	}
	if o.Network != (fetch.Network{AllowLoopback: true, CABundle: "the site's authority"}) {
		t.Errorf("network is %+v", o.Network)
	}
	for host, want := range map[string]fetch.Credentials{
		"mirror.test:5000": {Username: "user", Password: "pass word"}, "registry-1.docker.io": {Username: "user", Password: "pass word"}, "other.test": {},
	} {
		if got, err := o.Credentials(t.Context(), host); err != nil || got != want {
			t.Errorf("credentials for %s are %+v, %v", host, got, err)
		}
	}
	if _, err := o.Credentials(t.Context(), "id.test"); err == nil || !strings.Contains(err.Error(), "identity token") {
		t.Errorf("an identity token: %v", err)
	}
	if p, ok := o.Fetcher.(*fetch.Program); !ok || filepath.Base(p.Path) != fetchProgram || !filepath.IsAbs(p.Path) {
		t.Errorf("the program that fetches is %+v", o.Fetcher)
	}
}

func TestWrongSourcesAreRefusedBeforeAnythingIsBuilt(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a mirror that is none":           {[]string{"--mirror", "registry.k8s.io"}, "--mirror"},
		"settings that are not there":     {[]string{"--settings", "/nowhere.yaml"}, "/nowhere.yaml"},
		"authorities that are not there":  {[]string{"--ca-file", "/nowhere.pem"}, "--ca-file"},
		"credentials that are not there":  {[]string{"--docker-config", "/nowhere.json"}, "--docker-config"},
		"credentials that cannot be read": {[]string{"--docker-config", put(t, "config.json", "{")}, "--docker-config"},
		"settings that mean no one thing": {[]string{"--settings", put(t, "settings.yaml", "mirrors: 3")}, "settings.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := parsed(t, &builder.Options{}, c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestProgressIsTold(t *testing.T) {
	for want, e := range map[string]builder.Event{
		"building v1":               {Component: "runc", State: builder.StateStarted, Detail: "v1"},
		"still building, 3s so far": {Component: "runc", State: builder.StateWorking, Duration: 3e9},
		"writing x":                 {Component: "bundle", State: builder.StateStarted, Detail: "writing x"},
		"fetching, 50% of 2.0 KiB":  {State: builder.StateWorking, Done: 1024, Total: 2048},
		"fetching, 1.0 KiB":         {State: builder.StateStarted, Done: 1024},
		"fetching, 75% of 2.0 KiB, of which 1.0 KiB had come before": {State: builder.StateWorking, Done: 1536, Total: 2048, Resumed: 1024},
		"v1, 2.0 KiB in 2s":        {State: builder.StateDone, Detail: "v1", Done: 2048, Total: 2048, Duration: 2e9},
		"v1, from the cache (2ms)": {State: builder.StateCached, Detail: "v1", Done: 2048, Total: 2048, Duration: 2e6},
	} {
		if got := describe(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
