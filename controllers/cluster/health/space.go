package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// SpaceError says that a cluster's etcd has used up its quota: what is there can be read, and nothing written.
type SpaceError struct{}

func (*SpaceError) Error() string {
	return "etcd is out of space (alarm NOSPACE) and takes no writes: delete what fills it, compact and defragment every member, and disarm the alarm, " +
		"as docs/lifecycle.md says under \"When etcd is out of space\""
}

const (
	// leasesPath and taken name a Lease that every cluster of kubeadm's has.
	leasesPath = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
	taken      = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"kube-controller-manager","namespace":"kube-system"}}`
	// spaceExceeded is etcd's error (api/v3rpc/rpctypes, ErrGRPCNoSpace), which the API server hands on.
	spaceExceeded = "database space exceeded"
)

// writable asks etcd, through the API server, whether it would take a write, without writing: it refuses to create what exists already, and
// while the alarm is raised it says so first (etcd's server/etcdserver/apply, applierV3Capped.Txn). Reading works all the
// while, and nodes stay Ready because nobody can write that they are not. Any other answer says nothing about etcd.
func (a *access) writable(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.server+leasesPath, bytes.NewReader([]byte(taken)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, */*;q=0.5")
	request.Header.Set("User-Agent", "kubewright-health")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode < http.StatusInternalServerError {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err != nil {
		return err
	}
	if strings.Contains(string(body), spaceExceeded) {
		return &SpaceError{}
	}
	return nil
}

// isFull says whether a check failed because etcd is out of space.
func isFull(err error) bool {
	_, ok := errors.AsType[*SpaceError](err)
	return ok
}
