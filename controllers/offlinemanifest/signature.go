package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	// minCreated is when the bundle must have been created at the earliest; zero is any time.
	minCreated time.Time
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
	return digest.FromString(fmt.Sprint(t.required, t.minCreated.UnixNano(), ids)).String()
}

// readKeys reads the keys that signatures are verified with. It goes before the bundle is looked at.
func readKeys(ctx context.Context, s *scope) (phase.Next, error) {
	policy := s.manifest.Spec.Signature
	if policy == nil {
		return phase.Continue(), nil
	}
	s.trust = trust{asked: true, required: policy.Policy != v1alpha1.WarnOfSignature}
	if policy.MinCreated != nil {
		s.trust.minCreated = policy.MinCreated.Time
	}
	keys, err := s.keysOf(ctx, policy.KeysRef)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return s.untrusted(refused), nil
	}
	if err != nil {
		return phase.Stop(), err
	}
	s.trust.keys = keys
	return phase.Continue(), nil
}

// keysOf reads all public keys of a ConfigMap or Secret. The error is a *refusal, unless the API server failed; it never has anything of
// a Secret's content in it.
func (s *scope) keysOf(ctx context.Context, ref v1alpha1.KeysReference) ([]*sign.PublicKey, error) {
	const field = "spec.signature.keysRef"
	content := map[string][]byte{}
	kind := v1alpha1.KeysInConfigMap
	if ref.Kind == v1alpha1.KeysInSecret {
		kind = ref.Kind
		var err error
		if content, err = s.readSecret(ctx, ref.Name, field); err != nil {
			return nil, err
		}
	} else {
		configMap := &corev1.ConfigMap{}
		if err := s.read(ctx, configMap, ref.Name, string(kind), field); err != nil {
			return nil, err
		}
		for name, text := range configMap.Data {
			content[name] = []byte(text)
		}
	}
	refuse := func(why string) error {
		return &refusal{ReasonReferenceNotFound, fmt.Sprintf("%s %s/%s, named in %s: %s: put public keys there as PEM, and nothing else", kind, s.Sources.Namespace, ref.Name, field, why)}
	}
	var keys []*sign.PublicKey
	for _, name := range slices.Sorted(maps.Keys(content)) {
		parsed, err := sign.ParsePublicKeys(name, content[name])
		if err != nil && kind == v1alpha1.KeysInSecret {
			return nil, refuse(name + " is not a public key")
		}
		if err != nil {
			return nil, refuse(err.Error())
		}
		keys = append(keys, parsed...)
	}
	if len(keys) == 0 {
		return nil, refuse("it is empty")
	}
	return keys, nil
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
		created := metav1.NewTime(r.Signature.Created)
		status.Signature = &v1alpha1.OfflineSignature{KeyName: r.Signature.KeyName, KeyID: r.Signature.KeyID, SignedAt: metav1.NewTime(r.Signature.SignedAt), CreatedAt: &created}
		capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionTrue, ReasonSigned, "")
	default:
		before := capi.Condition(s.manifest, v1alpha1.SignedCondition)
		reason, message := r.Unsigned.reason, r.Unsigned.message
		if before == nil || before.Message != message {
			s.Events.Eventf(s.manifest, nil, "Warning", reason, "Verify", "%s", capi.Cut(message, maxNote))
		}
		capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionFalse, reason, message)
	}
}

// openTrusted opens a bundle of the trusted digest, signature first where one is asked for. What a signature says, or what is wrong with
// it where that is only warned of, goes into the record.
func openTrusted(path string, d digest.Digest, t trust, r *record, bases ...string) (*bundle.Bundle, error) {
	if !t.asked {
		return bundle.OpenTrusted(path, d, bases...)
	}
	b, evidence, err := sign.Open(path, sign.Policy{Keys: t.keys, Digest: d, MinCreated: t.minCreated}, bases...)
	switch {
	case err == nil:
		r.Signature = &signature{KeyName: evidence.KeyName, KeyID: evidence.KeyID, SignedAt: evidence.SignedAt, Created: evidence.Created}
		return b, nil
	case isSignature(err) && !t.required:
		r.Unsigned = &refusal{reasonOf(err), strings.TrimSpace(err.Error())}
		return bundle.OpenTrusted(path, d, bases...)
	}
	return nil, err
}

// isSignature says whether err means that a signature is missing or not good.
func isSignature(err error) bool {
	return is[*sign.NotSignedError](err) || is[*sign.UntrustedKeyError](err) || is[*sign.BadSignatureError](err) ||
		is[*sign.ReplayedError](err) || is[*sign.UnsignedAttachmentError](err)
}
