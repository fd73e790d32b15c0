package bundlecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/kubewright/kubewright/pkg/bundle/builder"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// fetchProgram is the name of the program that fetches, beside this one.
const fetchProgram = "kubewright-fetch"

// sources are the flags about where a build fetches from.
type sources struct {
	settings, caFile, dockerConfig, program string
	mirrors                                 []string
	allowHTTP, allowLoopback                bool
}

func (s *sources) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.settings, "settings", "", "file with mirrors, caFile and dockerConfig, for all builds of a site")
	f.StringArrayVar(&s.mirrors, "mirror", nil, "FROM=TO: fetch what is below FROM, a URL or the beginning of image names, from TO instead")
	f.StringVar(&s.caFile, "ca-file", "", "PEM file with authorities to trust besides this machine's")
	f.StringVar(&s.dockerConfig, "docker-config", "", "file with credentials for registries and hosts, in the form of Docker's config.json")
	f.StringVar(&s.program, "fetch-program", "", "the program that fetches (default: "+fetchProgram+" beside this one)")
	f.BoolVar(&s.allowHTTP, "allow-http-sources", false, "fetch files also without TLS; their digests are checked as ever, credentials are not sent")
	f.BoolVar(&s.allowLoopback, "allow-loopback-sources", false, "fetch also from this very machine")
}

// into puts what the flags and the settings say into the options of a build.
func (s *sources) into(o *builder.Options) error {
	settings := &upstream.Settings{}
	if s.settings != "" {
		var err error
		if settings, err = upstream.LoadSettings(s.settings); err != nil {
			return err
		}
	}
	for _, text := range s.mirrors {
		m, err := upstream.ParseMirror(text)
		if err != nil {
			return fmt.Errorf("--mirror: %w", err)
		}
		o.Mirrors = append(o.Mirrors, m)
	}
	o.Mirrors = append(o.Mirrors, settings.Mirrors...)
	if s.caFile == "" {
		s.caFile = settings.CAFile
	}
	if s.dockerConfig == "" {
		s.dockerConfig = settings.DockerConfig
	}
	o.Network = fetch.Network{AllowHTTP: s.allowHTTP, AllowLoopback: s.allowLoopback}
	if s.caFile != "" {
		raw, err := os.ReadFile(s.caFile)
		if err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
		o.Network.CABundle = string(raw)
	}
	if s.dockerConfig != "" {
		store, err := openDockerConfig(s.dockerConfig)
		if err != nil {
			return err
		}
		o.Credentials = fetchCredentials(store)
	}
	program, err := s.findProgram()
	if err != nil {
		return err
	}
	o.Fetcher = &fetch.Program{Path: program}
	return nil
}

// findProgram is where the program that fetches should be. Whether it is there shows when something has to be fetched: most definitions
// need nothing of it.
func (s *sources) findProgram() (string, error) {
	if s.program != "" {
		return filepath.Abs(s.program)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return filepath.Join(filepath.Dir(self), fetchProgram), nil
}

// openDockerConfig opens a file that must be there: one that is not would mean no credentials, and a refusal by a server much later.
func openDockerConfig(file string) (credentials.Store, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("--docker-config: %w", err)
	}
	store, err := credentials.NewStore(file, credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("--docker-config %s: %w", file, err)
	}
	return store, nil
}

// fetchCredentials looks up credentials as fetches take them.
func fetchCredentials(store credentials.Store) func(context.Context, string) (fetch.Credentials, error) {
	return func(ctx context.Context, host string) (fetch.Credentials, error) {
		if host == "registry-1.docker.io" {
			host = "docker.io" // whose credentials Docker keeps under another name
		}
		c, err := store.Get(ctx, credentials.ServerAddressFromRegistry(host))
		if err != nil {
			return fetch.Credentials{}, err
		}
		if c.RefreshToken != "" {
			return fetch.Credentials{}, errors.New("the file has an identity token for it, which cannot be used to fetch: give user and password, or an access token")
		}
		return fetch.Credentials{Username: c.Username, Password: c.Password, Token: c.AccessToken}, nil
	}
}
