// Package badinput shows, with the real program on container hosts, what happens when what a user gives it cannot work: one clear
// error that names the field or the host and says what to do, and hosts that are as they were.
//
// A host may gain the helper that looks at it (/var/lib/kubewright-helper) and the helper's journal (/var/lib/kubewright); anything
// else that differs afterwards fails a test. Cases that need no host are tested beside the code that refuses them: a host claimed by
// another Cluster also in package controllers, the field rules of the API in package v1alpha1.
package badinput
