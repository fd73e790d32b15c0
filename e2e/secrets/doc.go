// Package secrets hunts for secrets: it plants them, or takes them from a run, and looks for them in everything that is printed, logged,
// stored, measured, started or sent while clusters are made, looked at, changed and removed on container hosts. In each of these places lies a
// decoy as well, which has to be found, so that a hunt which looks at nothing does not pass.
package secrets
