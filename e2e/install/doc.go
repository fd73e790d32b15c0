// Package install holds the end-to-end tests of installing a cluster: on real container hosts, with the real program and bundle.
package install
