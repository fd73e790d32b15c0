package hosts

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
)

// indexFormat makes apt print one line per package index it knows: where it is, and what it holds.
const indexFormat = "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)"

// aptMirror finds where this machine gets its own packages from, so that the hosts come from the same place. Empty means
// that debootstrap should use its own default.
func aptMirror(ctx context.Context, suite string) (string, error) {
	if !haveProgram("apt-get") {
		return "", nil
	}
	text, err := command(ctx, nil, "apt-get", "indextargets", "--format", indexFormat, "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("ask apt for its sources: %w", err)
	}
	return chooseMirror(text, suite, thisDistribution().Codename), nil
}

// chooseMirror takes the source of the suite itself; failing that the one of this machine's release, because a
// distribution's mirror carries all its releases.
func chooseMirror(indexTargets []byte, suite, codename string) string {
	var fallback string
	lines := bufio.NewScanner(bytes.NewReader(indexTargets))
	for lines.Scan() {
		field := strings.Split(lines.Text(), "|")
		if len(field) != 4 || field[3] != "main" {
			continue
		}
		uri := strings.TrimSuffix(field[0], "/")
		if !strings.HasPrefix(uri, "http://") && !strings.HasPrefix(uri, "https://") && !strings.HasPrefix(uri, "file:/") {
			continue
		}
		if field[1] == suite || field[2] == suite {
			return uri
		}
		if fallback == "" && codename != "" && (field[1] == codename || field[2] == codename) {
			fallback = uri
		}
	}
	return fallback
}

// aptEnvironment is this process's environment plus the proxy that apt is told to use, which debootstrap would not know.
func aptEnvironment(ctx context.Context) ([]string, error) {
	env := os.Environ()
	if !haveProgram("apt-config") {
		return env, nil
	}
	for _, scheme := range []string{"http", "https"} {
		name := scheme + "_proxy"
		if os.Getenv(name) != "" {
			continue
		}
		text, err := command(ctx, nil, "apt-config", "dump", "--format", "%v%n", "Acquire::"+scheme+"::Proxy")
		if err != nil {
			return nil, fmt.Errorf("ask apt for its proxy: %w", err)
		}
		proxy, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if proxy != "" && proxy != "DIRECT" && proxy != "false" {
			env = append(env, name+"="+proxy)
		}
	}
	return env, nil
}
