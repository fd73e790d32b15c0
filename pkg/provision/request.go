// Package provision carries out one ClusterOperation: it reaches the hosts over SSH, takes a snapshot of them, asks the planner
// for the graph of steps and lets the engine run it. It knows SSH, the host helper and the API of the cluster it builds; it knows
// nothing of custom resources being stored anywhere: what it learns it returns, what happens it emits as events.
package provision

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/pki"
)

// Runner carries out operations. Controllers depend on this interface only, so that an operation can run in process, in a Job, or
// as a fake in tests.
type Runner interface {
	// Run blocks until the operation has ended. Events go to request.Sink while it lasts. The outcome is never nil, also when an
	// error is returned: it holds what was learned up to then. The error is the reason why the operation did not reach its goal;
	// a cancelled context ends it at a safe point with an error that wraps the context's.
	Run(ctx context.Context, request Request) (*Outcome, error)
}

// HostAccess is one host with what is needed to log in to it.
type HostAccess struct {
	Host v1alpha1.Host
	// Credentials is the data of the Secret the Host names. Never logged.
	Credentials map[string][]byte
}

// Request is everything an operation needs. Nothing in it is changed.
type Request struct {
	Operation v1alpha1.ClusterOperation
	// Attempt counts executions of this operation from 1.
	Attempt int
	Cluster v1alpha1.Cluster
	// Hosts holds every host of the cluster, those in Leaving included, and every bastion they name.
	Hosts []HostAccess
	// Leaving names hosts that belong to the cluster and do not stand in its spec any more; for a Reset all that belong to it. What becomes
	// of the machine is said by the host's spec.onRemoval.
	Leaving []string
	// ApprovedPlan is the digest of the plan somebody approved. When it is set and what would be done has another digest by now, nothing
	// is done and the error is a *PlanChangedError.
	ApprovedPlan string
	// BackupRecipient is the age public key (X25519, age1...) that snapshots of etcd are encrypted for; their private key never leaves the
	// management side. When it is empty no snapshot is taken; the controllers make the key before they create any operation.
	BackupRecipient string
	// Stop, when closed, asks for an end at the next safe point: nothing new begins, what is begun on a host is carried through until
	// its node is back in service, and the error wraps engine.ErrStopped. It may be nil.
	Stop <-chan struct{}
	// Authorities are the cluster's certificate authorities. A Reset needs none.
	Authorities *pki.Authorities
	// Bundle is the opened bundle of the cluster's OfflineManifest, already checked against its digest.
	Bundle *bundle.Bundle
	// Addresses says which addresses hosts and bastions may have; the zero value refuses this very machine, the link, and what hands out a
	// cloud's credentials.
	Addresses addresses.Policy
	// Sink receives events. It may be nil.
	Sink engine.Sink
	// RecordHostKey persists the key of a host seen for the first time, before any credential is sent to it. An error stops the connection;
	// ssh.HostKeyPolicy says which.
	RecordHostKey func(ctx context.Context, host, key string) error
}

// HostOutcome is what was learned of one host.
type HostOutcome struct {
	// Facts last read; nil when the host was not reached.
	Facts *v1alpha1.HostFacts
	// Err is why the host could not be reached, if so.
	Err error
	// Connections and Requests this operation cost on the host.
	Connections, Requests int64
}

// RemovedHost is a host that is not part of the cluster any more.
type RemovedHost struct {
	// Cleaned is true when the machine was reset, so that it can be used again.
	Cleaned bool
	// Problem is why it was not cleaned; empty when that was not asked for.
	Problem string
	// Refused says that the cluster refuses what the machine's kubelet writes, should it come back.
	Refused bool
}

// PlanChangedError says that what would be done is not any more what was approved.
type PlanChangedError struct{ Approved, Now string }

// Error names both digests and what to do.
func (e *PlanChangedError) Error() string {
	return "what would be done has changed since it was approved (" + e.Approved + ", now " + e.Now + "): look at the new plan and approve that"
}

// Outcome is what an operation learned and did.
type Outcome struct {
	// Initialized is true when the cluster's first control plane is known to exist.
	Initialized bool
	// Version the API servers answer with, empty when none answered.
	Version string
	// Endpoint people use, as https://host:port.
	Endpoint string
	// Nodes counted at the end.
	Nodes v1alpha1.NodeCounts
	// EtcdMembers that vote, counted at the end.
	EtcdMembers int32
	// Changed is false when nothing had to be done.
	Changed bool
	// Plan lists all that was, or in mode Plan would be, done.
	Plan []v1alpha1.PlannedChange
	// PlanDigest is sha256:<hex> over the whole plan, in mode Plan.
	PlanDigest string
	// Cordoned lists the nodes that an operation made unschedulable and that are so still; empty in mode Plan.
	Cordoned []string
	// Removed holds the hosts of Request.Leaving whose node and etcd member are gone; after a Reset those that were cleaned and those
	// that it was to leave alone.
	Removed map[string]RemovedHost
	// Traffic of the whole operation.
	Traffic v1alpha1.OperationTraffic
	// Hosts by name.
	Hosts map[string]HostOutcome
}

// CordonNote says which nodes were left without pods and how they take them again, as a part of a sentence; empty when there are none.
func (o *Outcome) CordonNote() string {
	if len(o.Cordoned) == 0 {
		return ""
	}
	const shown = 5
	list := strings.Join(o.Cordoned[:min(shown, len(o.Cordoned))], ", ")
	if more := len(o.Cordoned) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return "still taking no pods: " + list + "; they do again when an operation gets through, or after kubectl uncordon"
}
