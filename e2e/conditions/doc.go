// Package conditions holds a table of hosts as people have them: one line says the condition, the result, and the sentence a user reads.
//
// A line arranges the condition on hosts of a fleet that all lines share, runs `kubewright up`, and expects either a refusal that
// touches nothing or a working cluster, which it looks at and then removes with `kubewright delete --reset`; what is left on the hosts
// must be what was there before. Lines stand in one file for each subject, and TestConditions lists the subjects.
package conditions
