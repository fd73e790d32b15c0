package preflight

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/steps/ports"
)

// rows are the rows of the tables under a heading of docs/requirements.md, each as its cells.
func rows(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "requirements.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("there is no heading %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all [][]string
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all[1:]
}

// connectReasons are the words host/connect ends with, as the source has them.
func connectReasons(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "provision", "failure.go"))
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, m := range regexp.MustCompile(`return "([A-Za-z]+)"`).FindAllStringSubmatch(string(source), -1) {
		reasons = append(reasons, m[1])
	}
	return reasons
}

func TestEveryRequirementIsLookedAtAndEveryCheckIsARequirement(t *testing.T) {
	// These speak of the spec or of the cluster's own authority, not of hosts.
	said := []string{"AuthorityUnreadable", "KubeletOverride"}
	reasons := connectReasons(t)
	for _, heading := range []string{"The machine", "The way in", "The network"} {
		for _, row := range rows(t, heading) {
			if len(row) != 3 || row[2] == "" {
				t.Errorf("%s: %q has no check", heading, row)
				continue
			}
			for _, name := range strings.Split(row[2], ", ") {
				said = append(said, name)
				if !desired.IsOwnCheck(name) && !slices.Contains(reasons, name) {
					t.Errorf("%s: %s is neither a check of preflight nor a reason of host/connect", row[0], name)
				}
			}
		}
	}
	for _, name := range desired.CheckNames() {
		if !slices.Contains(said, name) {
			t.Errorf("%s is not among the requirements", name)
		}
	}
}

func TestThePortsAreThoseOfTheTable(t *testing.T) {
	var want [][]string
	for _, p := range ports.All() {
		on := ports.Nodes
		if p.ControlPlane {
			on = ports.ControlPlanes
		}
		want = append(want, []string{p.Name(), p.Program, on, p.From})
	}
	if got := rows(t, "Ports"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("docs/requirements.md has\n%q, the table in package ports\n%q", got, want)
	}
}
