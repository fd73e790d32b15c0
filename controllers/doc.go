// Package controllers registers every controller with a manager. It is what standalone mode and the manager in a cluster share, and
// must not know which of the two it runs in.
package controllers
