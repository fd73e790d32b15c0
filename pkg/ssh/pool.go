package ssh

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/ssh"
)

// handshakesPerBastion bounds how many connections may be coming about through one bastion at a time. sshd begins to
// refuse at random from the 10th unauthenticated connection on (MaxStartups 10:30:100).
const handshakesPerBastion = 8

// Pool shares connections: one per host, user and credentials, for as long as somebody holds it. Bastions are shared in
// the same way. A broken connection is never given out; the next who asks gets a new one.
type Pool struct {
	salt []byte

	mu      sync.Mutex
	entries map[string]*pooled   // the one to give out for each key
	live    map[*pooled]struct{} // all that somebody holds, broken ones included
	past    Stats
}

// pooled is one connection of a Pool, or the attempt to make it. The fields below slots are valid once ready is closed.
type pooled struct {
	key    string
	holds  int
	cancel context.CancelFunc
	slots  chan struct{}
	ready  chan struct{}
	client *Client
	err    error
}

// NewPool returns an empty pool.
func NewPool() (*Pool, error) {
	salt := make([]byte, sha256.Size)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("ssh pool: no random numbers: %w", err)
	}
	return &Pool{salt: salt, entries: map[string]*pooled{}, live: map[*pooled]struct{}{}}, nil
}

// Get returns the connection to t, making it if there is none; errors are those of Dial. The caller holds it until it
// calls release (any number of times, the first counts), and must not close it. When nobody holds it any more it is closed.
// The host key policy of t is applied to a connection that exists already, too.
func (p *Pool) Get(ctx context.Context, t Target) (c *Client, release func(), err error) {
	if _, err := t.check(); err != nil {
		return nil, nil, err
	}
	e, release, err := p.get(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	return e.client, release, nil
}

func (p *Pool) get(ctx context.Context, t Target) (*pooled, func(), error) {
	s, err := t.checkOne()
	if err != nil {
		return nil, nil, err
	}
	for {
		e, made := p.hold(ctx, t, s)
		var once sync.Once
		release := func() { once.Do(func() { p.drop(e) }) }
		select {
		case <-e.ready:
		case <-ctx.Done():
			release()
			return nil, nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseTCP, Err: context.Cause(ctx)}
		}
		err := e.err
		if !made && isHostKeyVerdict(err) {
			// That was the verdict under the policy of somebody else; ours may differ.
			release()
			continue
		}
		if err == nil && !made {
			err = p.approve(ctx, e.client, s)
		}
		if err != nil {
			release()
			return nil, nil, err
		}
		return e, release, nil
	}
}

func isHostKeyVerdict(err error) bool {
	var (
		changed *HostKeyChangedError
		unknown *UnknownHostKeyError
		record  *HostKeyRecordError
	)
	return errors.As(err, &changed) || errors.As(err, &unknown) || errors.As(err, &record)
}

// approve applies the host key policy in s to a connection that may have been made under another one.
func (p *Pool) approve(ctx context.Context, c *Client, s settings) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.HostKey()))
	if err != nil {
		return fmt.Errorf("%s: read back the host key: %w", s.endpoint, err)
	}
	return s.policy.judge(ctx, s.endpoint, key)
}

// hold finds or makes the entry for t and counts the caller among those who hold it.
func (p *Pool) hold(ctx context.Context, t Target, s settings) (e *pooled, made bool) {
	key := p.key(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[key]; e != nil && e.usable() {
		e.holds++
		return e, false
	}
	// The attempt must outlive the caller that happens to come first, since others wait for it too.
	dialCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e = &pooled{key: key, holds: 1, cancel: cancel, slots: make(chan struct{}, handshakesPerBastion), ready: make(chan struct{})}
	p.entries[key] = e
	p.live[e] = struct{}{}
	go func() {
		defer close(e.ready)
		e.client, e.err = p.dial(dialCtx, t, s)
	}()
	return e, true
}

// usable says whether e is still being made, or made and alive.
func (e *pooled) usable() bool {
	select {
	case <-e.ready:
		return e.err == nil && e.client.Err() == nil
	default:
		return true
	}
}

// dial makes the connection for an entry. The bastion is held for as long as the connection lives.
func (p *Pool) dial(ctx context.Context, t Target, s settings) (*Client, error) {
	if t.Bastion == nil {
		return connect(ctx, s, nil, func() {})
	}
	bastion, release, err := p.get(ctx, *t.Bastion)
	if err != nil {
		return nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseBastion, Err: err}
	}
	select {
	case bastion.slots <- struct{}{}:
	case <-ctx.Done():
		release()
		return nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseBastion, Err: context.Cause(ctx)}
	}
	defer func() { <-bastion.slots }()
	c, err := connect(ctx, s, bastion.client, release)
	if err != nil {
		release()
		return nil, err
	}
	return c, nil
}

// drop counts one holder less, and closes what nobody holds.
func (p *Pool) drop(e *pooled) {
	p.mu.Lock()
	e.holds--
	last := e.holds == 0
	if last && p.entries[e.key] == e {
		delete(p.entries, e.key)
	}
	p.mu.Unlock()
	if !last {
		return
	}
	e.cancel()
	go func() {
		<-e.ready
		if e.client != nil {
			_ = e.client.Close() // not under the lock: it lets go of the bastion, which takes the lock
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.live, e)
		if e.client != nil {
			p.past = p.past.Add(e.client.Stats())
		}
	}()
}

// Stats sums up all connections of the pool, those of bastions and those that are closed included.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := p.past
	for e := range p.live {
		select {
		case <-e.ready:
			if e.client != nil {
				sum = sum.Add(e.client.Stats())
			}
		default:
		}
	}
	return sum
}

// String keeps everything in a Pool out of logs.
func (p *Pool) String() string { return "ssh connection pool" }

// key is the same for Targets that may share a connection: same way, same user, same credentials. Somebody who only knows
// an address must not be given a connection that another's credentials opened. It is keyed with a random salt, so that it
// tells nothing about the credentials.
func (p *Pool) key(t Target) string {
	h := hmac.New(sha256.New, p.salt)
	for {
		for _, field := range [][]byte{
			[]byte(t.endpoint().Address), []byte(t.User), t.Auth.PrivateKey, t.Auth.Passphrase, t.Auth.Certificate, []byte(t.Auth.Password),
			[]byte(t.Sudo.Mode.String()), []byte(t.Sudo.Password),
		} {
			_, _ = fmt.Fprintf(h, "%d:", len(field)) // a hash never fails
			_, _ = h.Write(field)
		}
		if t.Bastion == nil {
			return string(h.Sum(nil))
		}
		t = *t.Bastion
		_, _ = h.Write([]byte("via"))
	}
}
