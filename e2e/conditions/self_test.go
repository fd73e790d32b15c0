//go:build e2e

package conditions

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpRunsOnTheMachineThatBecomesTheFirstControlPlane needs no other machine at all: the program, its bundle and the user's file are on
// the host, which it reaches over SSH as it would any other.
func TestUpRunsOnTheMachineThatBecomesTheFirstControlPlane(t *testing.T) {
	w := newWorld(t)
	s := w.site(t)
	s.describe(t, false, nil)
	const dir = "/root/kubewright"
	for name, path := range map[string]string{"kubewright": s.Program, "kubewright-fetch": filepath.Join(filepath.Dir(s.Program), "kubewright-fetch"), "kubernetes.bundle": s.Bundle, "cluster.yaml": s.ClusterFile()} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.fleet.ExecInput(s.ctx, "n1", file, "install", "-D", "-m", "0700", "/dev/stdin", dir+"/"+name)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(argv ...string) string {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		out, err := s.fleet.Exec(ctx, "n1", argv...)
		t.Logf("%s said\n%s", strings.Join(argv, " "), out)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.evidence())
		}
		return string(out)
	}
	before := s.remains(t)
	run(dir+"/kubewright", "up", "-f", dir+"/cluster.yaml", "--bundle", dir+"/kubernetes.bundle", "--state-dir", dir+"/state", "--kubeconfig", dir+"/kubeconfig", "--yes")
	if nodes := run("/usr/local/bin/kubectl", "--kubeconfig", dir+"/kubeconfig", "--cache-dir", dir+"/state/kubectl", "get", "nodes", "-o", "name"); nodes != "node/n1\n" {
		t.Errorf("the nodes are %q", nodes)
	}
	run(dir+"/kubewright", "delete", s.Name, "--reset", "--yes", "--state-dir", dir+"/state")
	run("rm", "-r", dir+"/state", dir+"/kubeconfig")
	requireSame(t, before, s.remains(t))
}
