package hosttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// pull does what "ctr images pull" makes containerd do, without unpacking: resolve the name at the host that hosts.toml
// names, fetch manifest, config and layers, verify and keep them.
func (s *System) pull(ctx context.Context, args []string) (sys.Output, error) {
	name := args[len(args)-1]
	hosts, err := os.ReadFile(s.sys.Path(args[slices.Index(args, "--hosts-dir")+1], "_default/hosts.toml"))
	if err != nil {
		return exit(1, "ctr: %v", err)
	}
	port, ok := parsePort(string(hosts))
	if !ok {
		return exit(1, "ctr: no server in hosts.toml")
	}
	_, rest, _ := strings.Cut(name, "/")
	repository, tag, _ := strings.Cut(rest, ":")
	base := fmt.Sprintf("http://127.0.0.1:%d/v2/%s/", port, repository)
	digest, manifest, err := s.get(ctx, base+"manifests/"+tag)
	if err != nil {
		return exit(1, "ctr: %v", err)
	}
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return exit(1, "ctr: %v", err)
	}
	want := []string{m.Config.Digest}
	for _, l := range m.Layers {
		want = append(want, l.Digest)
	}
	for _, d := range want {
		got, _, err := s.get(ctx, base+"blobs/"+d)
		if err != nil {
			return exit(1, "ctr: %v", err)
		}
		if got != d {
			return exit(1, "ctr: unexpected commit digest %s, expected %s", got, d)
		}
	}
	img := image{digest: digest, labels: "-"}
	if i := slices.Index(args, "--label"); i >= 0 {
		img.labels = "io.cri-containerd.image=managed," + args[i+1]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[name] = img
	return sys.Output{}, nil
}

func (s *System) get(ctx context.Context, url string) (digest string, data []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	if data, err = io.ReadAll(resp.Body); err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(data)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	at := s.sys.Path(Content(digest))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return "", nil, err
	}
	return digest, data, os.WriteFile(at, data, 0o644)
}
