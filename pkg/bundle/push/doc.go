// Package push copies the content of a bundle to a registry that others run: images under names that follow from their own, and the
// bundle itself with what is attached to it. What the registry has already is not sent again, so a push that was interrupted is continued
// by running it again.
//
// What belongs where is decided apart from talking to the registry, which is left to oras-go. The package must not know clusters.
package push
