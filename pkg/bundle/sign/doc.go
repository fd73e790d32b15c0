// Package sign signs bundles and verifies their signatures, offline, with key pairs.
//
// A signature is an in-toto statement about a bundle's digest in a DSSE envelope, in the form of Sigstore, attached to the bundle as a
// referrer; cosign and other tools of Sigstore can verify it too. Open verifies it before anything of the bundle is read but the headers
// and index.json, where the signature is found.
//
// The package must not know where keys are kept, nor what happens to a bundle that is not signed: callers have a policy for that.
package sign
