// Package manager holds the test of Kubewright as people run it in a management cluster: installed by Helm, fed with manifests by kubectl.
package manager
