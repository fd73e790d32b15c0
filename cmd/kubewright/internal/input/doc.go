// Package input reads the file a user hands to `kubewright up`: the objects of one cluster as multi-document YAML. It is strict, and
// names file, document, line and field of what is wrong. It talks to nobody; what only the API server can judge is left to it.
package input
