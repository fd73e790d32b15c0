package main

import (
	"strings"
	"testing"
)

func TestRulesForSecretsComeApart(t *testing.T) {
	var out strings.Builder
	err := run(strings.NewReader(`
kind: ClusterRole
rules:
- {apiGroups: [""], resources: [nodes, secrets], verbs: [get]}
- {apiGroups: [kubewright.io], resources: [hosts], verbs: [list]}
`), &out)
	if err != nil {
		t.Fatal(err)
	}
	manager, secrets, found := strings.Cut(out.String(), `{{- define "kubewright.secretRules" -}}`)
	if !found {
		t.Fatalf("there is no template for Secrets:\n%s", out.String())
	}
	if strings.Contains(manager, "secrets") || !strings.Contains(manager, "nodes") || !strings.Contains(manager, "hosts") {
		t.Errorf("the manager's rules are wrong:\n%s", manager)
	}
	if !strings.Contains(secrets, "secrets") || strings.Contains(secrets, "nodes") {
		t.Errorf("the rules for Secrets are wrong:\n%s", secrets)
	}
}

func TestWhatAsksForTooMuchOrNothingIsRefused(t *testing.T) {
	for name, role := range map[string]string{
		"every verb":     `rules: [{apiGroups: [""], resources: [secrets], verbs: ["*"]}]`,
		"every resource": `rules: [{apiGroups: [""], resources: ["*"], verbs: [get]}]`,
		"no rules":       `kind: ClusterRole`,
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := run(strings.NewReader(role), &out); err == nil {
				t.Errorf("it was accepted:\n%s", out.String())
			}
		})
	}
}
