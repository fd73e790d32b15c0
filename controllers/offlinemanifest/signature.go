package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
	"github.com/kubewright/kubewright/pkg/capi"
)

// trust is what spec.signature asks for.
type trust struct {
	// asked says that signatures matter, required that a bundle without a good one is refused.
	asked, required bool
	keys            []*sign.PublicKey
}

// fingerprint changes with whatever decides on a signature, so that a bundle is judged anew.
func (t trust) fingerprint() string {
	if !t.asked {
		return ""
	}
	ids := make([]string, 0, len(t.keys))
	for _, key := range t.keys {
		ids = append(ids, key.Name+"="+key.ID())
	}
	return digest.FromString(fmt.Sprint(t.required, ids)).String()
}

// readKeys reads the keys that signatures are verified with. It goes before the bundle is looked at.
func readKeys(ctx context.Context, s *scope) (phase.Next, error) {
	policy := s.manifest.Spec.Signature
	if policy == nil {
		return phase.Continue(), nil
	}
	s.trust = trust{asked: true, required: policy.Policy != v1alpha1.WarnOfSignature}
	keys := &corev1.ConfigMap{}
	err := s.read(ctx, keys, policy.KeysRef.Name, "ConfigMap", "spec.signature.keysRef")
	if refused, ok := errors.AsType[*refusal](err); ok {
		return s.untrusted(refused), nil
	}
	if err != nil {
		return phase.Stop(), err
	}
	for _, name := range slices.Sorted(maps.Keys(keys.Data)) {
		parsed, err := sign.ParsePublicKeys(name, []byte(keys.Data[name]))
		if err != nil {
			return s.untrusted(&refusal{ReasonReferenceNotFound, fmt.Sprintf("ConfigMap %s/%s, named in spec.signature.keysRef: %v: put public keys there as PEM", s.Sources.Namespace, policy.KeysRef.Name, err)}), nil
		}
		s.trust.keys = append(s.trust.keys, parsed...)
	}
	return phase.Continue(), nil
}

// untrusted stalls because there are no keys to verify with.
func (s *scope) untrusted(err *refusal) phase.Next {
	s.letBundle(s.manifest.Name)
	capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionUnknown, err.reason, err.message)
	return s.refuse(err.reason, err)
}

// tellSignature says who signed a bundle that is open, or what is wrong with its signature where that is only warned of.
func (s *scope) tellSignature(r record) {
	status := &s.manifest.Status
	status.Signature = nil
	switch {
	case !s.trust.asked:
		s.manifest.Status.Conditions = slices.DeleteFunc(s.manifest.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.SignedCondition })
	case r.Signature != nil:
		status.Signature = &v1alpha1.OfflineSignature{KeyName: r.Signature.KeyName, KeyID: r.Signature.KeyID, SignedAt: metav1.NewTime(r.Signature.SignedAt)}
		capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionTrue, ReasonSigned, "")
	default:
		before := capi.Condition(s.manifest, v1alpha1.SignedCondition)
		if before == nil || before.Message != r.Unsigned {
			s.Events.Eventf(s.manifest, nil, "Warning", ReasonNotSigned, "Verify", "%s", capi.Cut(r.Unsigned, maxNote))
		}
		capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionFalse, ReasonNotSigned, r.Unsigned)
	}
}

// openTrusted opens a bundle of the trusted digest, signature first where one is asked for. What a signature says, or what is wrong with
// it where that is only warned of, goes into the record.
func openTrusted(path string, d digest.Digest, t trust, r *record, bases ...string) (*bundle.Bundle, error) {
	if !t.asked {
		return bundle.OpenSet(path, bases...)
	}
	b, evidence, err := sign.Open(path, sign.Policy{Keys: t.keys, Digest: d}, bases...)
	switch {
	case err == nil:
		r.Signature = &signature{KeyName: evidence.KeyName, KeyID: evidence.KeyID, SignedAt: evidence.SignedAt}
		return b, nil
	case isSignature(err) && !t.required:
		r.Unsigned = strings.TrimSpace(err.Error())
		return bundle.OpenSet(path, bases...)
	}
	return nil, err
}

// isSignature says whether err means that a signature is missing or not good.
func isSignature(err error) bool {
	return is[*sign.NotSignedError](err) || is[*sign.UntrustedKeyError](err) || is[*sign.BadSignatureError](err) ||
		is[*sign.ReplayedError](err) || is[*sign.UnsignedAttachmentError](err)
}
