package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// bringFile sees that the bundle of a source on another machine is in the store, and goes on when it is.
func bringFile(ctx context.Context, s *scope) (phase.Next, error) {
	d, err := digestOf(s.manifest.Spec)
	if err != nil {
		return s.notThere(err), nil
	}
	if s.Sources.StoreDir == "" {
		return s.notThere(&refusal{ReasonSourceNotAllowed, "this manager has no store to copy bundles into, so only file:// sources can be used: start it with --store-dir"}), nil
	}
	status := &s.manifest.Status
	if status.Fetch == nil {
		status.Fetch = &v1alpha1.OfflineFetch{}
	}
	if status.ObservedGeneration != s.manifest.Generation {
		status.Fetch.FailedAttempts, status.Fetch.NextAttemptAt = 0, nil
	}
	id, found, err := s.store().find(d)
	if err != nil {
		return s.notThere(err), nil
	}
	if found {
		return s.isThere(id), nil
	}
	s.letBundle(s.manifest.Name)
	if isTerminal(s.manifest) {
		// What the server has is another bundle. Only another spec can change what is asked for, so nothing is fetched again.
		return phase.Stop(), nil
	}
	at := s.fetching.look(s.manifest.Name, s.manifest.Generation, d)
	switch {
	case at.other != "":
		s.waits(ReasonFetching, fmt.Sprintf("OfflineManifest %s is fetching the same bundle", at.other))
		return phase.Stop(), nil
	case at.ended && at.err == nil, at.ended && errors.Is(at.err, context.Canceled):
		return phase.Last(time.Millisecond), nil // it is looked for anew
	case at.ended:
		return s.failed(at.err), nil
	case at.none:
		return s.beginFetch(ctx, d)
	}
	s.shows(at.progress)
	return phase.Stop(), nil
}

// isThere says that the whole file is in the store.
func (s *scope) isThere(id identity) phase.Next {
	s.identity = id
	status := s.manifest.Status.Fetch
	status.DoneBytes, status.TotalBytes = id.Size, id.Size
	status.FailedAttempts, status.NextAttemptAt = 0, nil
	if status.CompletedAt == nil {
		now := metav1.NewTime(s.Now().UTC().Truncate(time.Second))
		status.CompletedAt = &now
		s.Events.Eventf(s.manifest, nil, "Normal", ReasonStored, "Fetch", "fetched %s from %s", mebibytes(id.Size), capi.Cut(s.manifest.Spec.Source, maxNote/2))
	}
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionTrue, ReasonStored, "")
	return phase.Continue()
}

// notThere stalls because the source cannot be used as things are.
func (s *scope) notThere(err error) phase.Next {
	s.let(s.manifest)
	reason := reasonOf(err)
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionFalse, reason, err.Error())
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reason, "")
	return s.refuse(reason, err)
}

// waits says what is being done.
func (s *scope) waits(reason, message string) {
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionFalse, reason, message)
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reason, "")
	capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, reason, "")
	s.standing = phase.Working(reason, message)
}

// shows says how far a fetch has come.
func (s *scope) shows(p fetch.Progress) {
	status := s.manifest.Status.Fetch
	status.DoneBytes, status.TotalBytes, status.ResumedAtBytes = p.Done, p.Total, p.Resumed
	status.NextAttemptAt, status.CompletedAt = nil, nil
	message := "fetched " + mebibytes(p.Done)
	if p.Total > 0 {
		message += " of " + mebibytes(p.Total)
	}
	s.waits(ReasonFetching, message)
}

// beginFetch starts an attempt when its time has come.
func (s *scope) beginFetch(ctx context.Context, d digest.Digest) (phase.Next, error) {
	if next := s.manifest.Status.Fetch.NextAttemptAt; next != nil {
		if left := next.Sub(s.Now()); left > 0 {
			return phase.Last(left), nil // the conditions say why it failed, and stay
		}
	}
	request, err := s.requestFor(ctx, d)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return s.failed(refused), nil
	}
	if err != nil {
		return phase.Stop(), err
	}
	s.fetching.begin(s.manifest.Name, s.manifest.Generation, d, request) //nolint:contextcheck // a fetch outlives the reconcile
	s.shows(fetch.Progress{Done: s.manifest.Status.Fetch.DoneBytes, Total: s.manifest.Status.Fetch.TotalBytes})
	return phase.Stop(), nil
}

// failed says why an attempt brought nothing, and when the next one comes.
func (s *scope) failed(err error) phase.Next {
	status := s.manifest.Status.Fetch
	status.FailedAttempts++
	delay := s.Sources.retryDelay(status.FailedAttempts)
	reason := reasonOf(err)
	if reason == string(fetch.DiskFull) {
		delay = s.Sources.RetryDelay // room may return at any time, and looking costs one request
	}
	next := metav1.NewTime(s.Now().Add(delay).UTC())
	status.NextAttemptAt = &next
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionFalse, reason, err.Error())
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reason, "")
	switch reason {
	case ReasonDigestMismatch:
		status.NextAttemptAt = nil
		s.refuse(reason, err)
		return phase.Stop()
	case string(fetch.Unreachable), string(fetch.Busy):
		capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, reason, "")
		s.standing = phase.Working(reason, err.Error())
	default:
		s.refuse(reason, err)
	}
	return phase.Last(delay)
}

// isTerminal says whether this spec was found to lead to another or a damaged bundle.
func isTerminal(manifest *v1alpha1.OfflineManifest) bool {
	for _, kind := range []string{v1alpha1.FetchedCondition, v1alpha1.VerifiedCondition} {
		c := capi.Condition(manifest, kind)
		if c != nil && c.Status == metav1.ConditionFalse && c.ObservedGeneration == manifest.Generation && isContent(c.Reason) {
			return true
		}
	}
	return false
}

// isContent says whether a reason is about the bytes a server has, which fetching again does not change.
func isContent(reason string) bool {
	return reason == ReasonDigestMismatch || reason == ReasonCorrupt || reason == ReasonUnsupported
}
