// Package lifecycle holds the end-to-end tests of a cluster's second day: growing, shrinking, configuring, upgrading, removing, and being
// interrupted in all of it. Everything is done by the real program on container hosts, the way a user would.
package lifecycle
