//go:build imports

// Package imports names the programs this module exists to pin; it is never compiled.
package imports

import (
	_ "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
