// Package evidence writes what is attached to a bundle about its origin: a bill of materials (SPDX) out of the build information in Go
// programs and the Debian packages that were used, and provenance (SLSA) as an in-toto statement.
//
// Equal input gives equal bytes: nothing in the documents depends on the time of day or the machine. The package compiles
// nothing; it is told what went in.
package evidence
