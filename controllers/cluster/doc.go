// Package cluster reconciles Cluster: it claims the hosts, sees that the bundle holds the version, keeps the authorities, creates the
// ClusterOperation that closes the gap between spec and reality, follows it, and hands out the kubeconfig. It must not reach a host,
// open a bundle or run an operation; it reads and writes API objects only.
package cluster
