// Package host reconciles Host: it says whether a machine can be used and why not, and keeps it while a Cluster holds it. It must not
// reach a machine: whether one answers is observed by operations.
package host
