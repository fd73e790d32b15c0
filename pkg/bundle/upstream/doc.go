// Package upstream brings what projects publish into a cache: files by URL and images from registries, byte for byte, each known by its
// sha256. What is there is not fetched again, and what came in part is gone on with.
//
// The bytes are fetched by a program of its own (package fetch), several items at a time. What manifests mean and where mirrors lead is
// decided apart from that. The package must not know what a bundle's definition looks like.
package upstream
