// Command chartrules turns the ClusterRole that controller-gen reads out of the controllers' markers into named templates of the
// Helm chart. Rules for Secrets come apart from the rest, so that the chart can grant them in chosen namespaces only.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chartrules:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(raw, &role); err != nil {
		return fmt.Errorf("parse the generated ClusterRole: %w", err)
	}
	rules, secrets, err := split(role.Rules)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, "{{- /* Generated from the controllers' markers by `make generate`; do not edit. */ -}}\n"); err != nil {
		return err
	}
	if err := define(out, "kubewright.managerRules", rules); err != nil {
		return err
	}
	return define(out, "kubewright.secretRules", secrets)
}

// split takes out the rules for Secrets. It refuses wildcards, which no controller needs.
func split(all []rbacv1.PolicyRule) (rules, secrets []rbacv1.PolicyRule, err error) {
	for _, rule := range all {
		for _, part := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(part, "*") {
				return nil, nil, fmt.Errorf("a marker asks for everything (%v %v %v): name what is needed", rule.APIGroups, rule.Resources, rule.Verbs)
			}
		}
		if !slices.Contains(rule.APIGroups, "") || !slices.Contains(rule.Resources, "secrets") {
			rules = append(rules, rule)
			continue
		}
		if rest := slices.DeleteFunc(slices.Clone(rule.Resources), func(r string) bool { return r == "secrets" }); len(rest) > 0 {
			other := rule
			other.Resources = rest
			rules = append(rules, other)
		}
		rule.Resources = []string{"secrets"}
		secrets = append(secrets, rule)
	}
	if len(rules) == 0 {
		return nil, nil, fmt.Errorf("the generated ClusterRole has no rules; are the controllers' markers gone?")
	}
	return rules, secrets, nil
}

func define(out io.Writer, name string, rules []rbacv1.PolicyRule) error {
	text := []byte("[]\n")
	if len(rules) > 0 {
		var err error
		if text, err = yaml.Marshal(rules); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "{{- define %q -}}\n%s{{- end -}}\n", name, text)
	return err
}
