// Package builder makes bundles out of a definition file: Go components compiled from pinned modules that the Go checksum
// database vouches for, files of Debian packages, files and images that projects publish, and manifests that lie beside the definition.
//
// Equal definition, sources, toolchain and packages give equal bytes. The package runs the go command, a C compiler for
// the two components that need one, apt-get and dpkg-deb; it must not know anything of hosts, clusters or the API.
package builder
