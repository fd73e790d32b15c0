// Package helper tries the helper by itself on a host with systemd, where a stand-in would prove nothing: detached units, attaching to them
// again after a kill, containerd's images, and a reset of all that.
package helper
