// Package capi is the one door to sigs.k8s.io/cluster-api: conditions, finalizers, the paused annotation and the shape of a
// cluster's Secrets. Everything else in this project goes through it, so that a change of Cluster API's packages is met here alone.
// It must not know what a condition means or when a Secret is made.
package capi
