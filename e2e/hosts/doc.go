// Package hosts boots machines for the end-to-end tests and the demo: Docker containers that run systemd and sshd on a
// network without any route out, so that they look like freshly installed, air-gapped servers.
//
// It knows Docker, debootstrap and sshd. It must not know Kubernetes or anything else of this project: what the product
// needs on a host has to come through the product, never through this package.
package hosts
