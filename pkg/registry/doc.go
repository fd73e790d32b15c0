// Package registry serves the blobs and images of bundles over HTTP, straight from their offsets in the bundle files: nothing is
// unpacked and nothing can be written.
//
// It speaks the reading half of the OCI distribution protocol, so that containerd pulls from it as from any mirror, and has one
// plain path for any blob by digest. What a client receives it must check against the digest it asked for: this package does not
// hash, and the network between is not trusted. It must not know what the content is for, nor which host asks.
package registry
