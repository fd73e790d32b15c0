// Package servingcert decides which kubelets are given the serving certificate that they ask the cluster for. Kubernetes has no approver of its
// own for these requests, because only who set up the nodes knows their names and addresses. It is pure: it reads no objects and writes none.
package servingcert
