// Package standalone runs an API server with its etcd as child processes on this machine, with all state in one directory, so that
// the first cluster needs no cluster. The programs come out of the bundle itself. It runs on Linux only, because the children are
// tied to the life of their parent by the kernel.
//
// It installs the CRDs of this project and hands out an administrator's configuration; it must not know what controllers do with
// it, what a Cluster is, or how progress is shown.
package standalone
