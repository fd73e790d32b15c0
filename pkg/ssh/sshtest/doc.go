// Package sshtest is an SSH server for tests that lives in the test's process, on loopback, and misbehaves on demand: it
// drops, stalls, delays, refuses, talks garbage and changes its host key. It records which credentials were offered, so
// that a test can prove that none were.
//
// It is for tests only and knows nothing of the client it serves.
package sshtest
