// Package cluster reconciles Cluster: it claims the hosts, sees that the bundle holds the version, keeps the authorities, creates the
// ClusterOperation that closes the gap between spec and reality, follows it, hands out the kubeconfig, and tells what package health
// finds of a cluster at rest. It must not reach a host, open a bundle or run an operation; it reads and writes API objects only.
package cluster
