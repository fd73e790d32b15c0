package provision

import (
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/pki"
)

// operatorLifetime is how long a client certificate of an operation is good for. It is short because an operation signs another one when
// half of it is over.
const operatorLifetime = time.Hour

// identity is who an operation is to the cluster it works on: a certificate that is signed when it is first needed, and again while the
// operation lasts, however long that is.
type identity struct {
	authority pki.KeyPair
	leaf      pki.Leaf
	now       func() time.Time

	mu    sync.Mutex
	cert  *tls.Certificate
	renew time.Time
}

// newIdentity is an identity that an authority signs for operations.
func newIdentity(authority pki.KeyPair, now func() time.Time, organizations ...string) *identity {
	return &identity{
		authority: authority, now: now,
		leaf: pki.Leaf{CommonName: "kubewright-operation", Organizations: organizations, Lifetime: operatorLifetime},
	}
}

// current is a certificate that is good for half its lifetime at least. It is the same one until it has to be renewed.
func (i *identity) current() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if i.cert != nil && now.Before(i.renew) {
		return i.cert, nil
	}
	pair, err := i.authority.Sign(i.leaf, now)
	if err != nil {
		return nil, fmt.Errorf("sign a client certificate for the operation: %w", err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("load the client certificate of the operation: %w", err)
	}
	i.cert, i.renew = &cert, now.Add(i.leaf.Lifetime/2)
	return i.cert, nil
}
