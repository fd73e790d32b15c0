//go:build !faults

package main

import "github.com/kubewright/kubewright/pkg/provision"

// runnerOptions are those of every day; see faults.go.
func runnerOptions() provision.Options { return provision.Options{} }
