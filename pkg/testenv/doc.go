// Package testenv starts a real etcd and kube-apiserver on loopback, with the CRDs of this project installed, for tests of the API
// and of controllers. The programs are the ones of the bundle, so tests see the API server that users get. It is for tests only
// and must not know of controllers, hosts or how standalone mode starts the same programs.
package testenv
