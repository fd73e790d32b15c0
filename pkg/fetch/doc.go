// Package fetch brings one file from where others keep it onto this machine. The work is done by a program of its own,
// kubewright-fetch (package box is what is inside), because what servers answer is not to be trusted: it gets its request on its
// standard input, says on its standard output how far it is, has no environment, and holds no rights or secrets but those of the one
// fetch. This package is the side that starts it; it must not know what the file is for.
package fetch
