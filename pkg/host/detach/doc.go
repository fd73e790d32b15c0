// Package detach runs commands in transient systemd units, so that they go on when the session or the controller dies,
// and attaches to them again. A command is started at most once per key; its receipt is written by the wrapper inside
// the unit, not by whoever started it. The package must not know what a command does.
package detach
