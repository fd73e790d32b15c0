// Package health looks at clusters at rest, outside of reconciles: does the API server answer, and which nodes are ready. It keeps
// the newest finding of each cluster in memory and tells when one changed. It must not know conditions or write anything; what a
// finding means for a Cluster is the controller's to say.
package health
