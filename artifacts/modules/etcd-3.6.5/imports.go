//go:build imports

// Package imports names the programs this module exists to pin; it is never compiled.
package imports

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
