// Package box is the inside of the program kubewright-fetch. go-getter takes the source apart and picks who gets it; those who get,
// one for each scheme, are this package's own, because go-getter's cannot be made safe from outside: they write what does not match
// where a retry finds it, resume without asking whether the file is still the same, know no idle timeout, share clients between
// callers, and follow any redirect. docs/fetch.md says which of its traps is closed where.
package box
