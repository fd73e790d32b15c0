// Package bundle is the sealed offline bundle: one uncompressed, deterministic tar that holds an OCI image layout.
//
// Everything in it is a sha256 blob. A root manifest names a typed configuration (Config) and, directly or through the
// image manifests it lists, every other blob; so the digest of the root manifest is the one digest that has to be
// trusted. Open reads only headers and the small JSON blobs and refuses anything that is not exactly the one form Write
// produces; Verify hashes all content; Blob hands out content at its offset without unpacking.
//
// The package must not know how content is made (see the builder package), how it reaches hosts, or what Kubernetes does
// with it.
package bundle

import _ "crypto/sha256" // digests are computed by what is linked in: without this, a program that imports nothing else refuses every blob
