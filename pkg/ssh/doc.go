// Package ssh is the transport between Kubewright and a host: one verified, authenticated connection, over which a
// program is started (with sudo when needed), the host helper is placed, and TCP is tunnelled.
//
// What it promises: a host key is verified before any credential leaves this process; no secret appears in a command
// line, an environment, a log or an error; no text of a caller reaches a shell except in a form that no shell
// interprets; nothing waits for ever on a peer that has gone silent.
//
// What it must not know: Kubernetes, custom resources, steps, and what the helper speaks over its pipes.
package ssh
