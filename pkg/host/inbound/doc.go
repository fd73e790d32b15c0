// Package inbound bounds and cleans what comes in from hosts and from API servers, where it comes in. Neither is trusted: a host can be in an attacker's
// hands, and the API server of a cluster in its tenant's, while the program that reads their answers serves everybody else as well. The
// package must not know what an answer means, only how much of it was asked for.
package inbound
