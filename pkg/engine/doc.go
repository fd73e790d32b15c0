// Package engine runs a graph of steps over hosts: it decides what may start, keeps to windows and exclusive groups, retries by
// the kind of error, observes that what was applied really holds, and tells everything it does as one stream of events.
//
// It knows nothing of Kubernetes, SSH, files or processes: a step brings functions, a host is only a name. Whatever a step needs
// to reach a host it closes over.
package engine
