package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// fieldOwner is the name under which the user's objects are applied.
const fieldOwner = client.FieldOwner("kubewright")

// source is what the user describes a cluster with: a file, a bundle, and flags that add to them.
type source struct {
	file   string
	bundle string
	bases  []string
	digest string
	sshKey string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "filename", "f", "", "file with Cluster, Hosts and their Secrets (required)")
	cmd.Flags().StringVar(&s.bundle, "bundle", "", "the offline bundle everything is taken from (required)")
	cmd.Flags().StringArrayVar(&s.bases, "base", nil, "bundle that has what --bundle lacks, when that is a delta; may be given more than once")
	cmd.Flags().StringVar(&s.digest, "digest", "", "digest the bundle must have, as sha256:<hex>")
	cmd.Flags().StringVar(&s.sshKey, "ssh-key", "", "private key file for the Hosts whose Secret is not in the file")
	for _, name := range []string{"filename", "bundle"} {
		// It fails only for a flag that does not exist.
		_ = cmd.MarkFlagRequired(name)
	}
}

// wanted is a source that was read and checked as far as that goes without an API server.
type wanted struct {
	*input.Objects
	bundle *bundle.Bundle
	path   string
	// bases are the files of --base with the digests of what they hold.
	bases []base
	// extra are objects made from flags.
	extra []*unstructured.Unstructured
	// keyed are the Secrets made from --ssh-key.
	keyed map[client.ObjectKey]*corev1.Secret
}

// read reads file and bundle. The caller closes the bundle.
func (s *source) read() (_ *wanted, err error) {
	objects, err := input.Read(s.file)
	if err != nil {
		return nil, badInput(err, "")
	}
	w := &wanted{Objects: objects, keyed: map[client.ObjectKey]*corev1.Secret{}}
	if err := s.open(w); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.bundle.Close()
		}
	}()
	if err := s.checkDigest(w); err != nil {
		return nil, badInput(err, "")
	}
	if wrong := w.checkVersions(); len(wrong) > 0 {
		return nil, badInput(wrong, "correct the version, or use another bundle")
	}
	if err := w.makeBaseManifests(); err != nil {
		return nil, err
	}
	if w.Manifest == nil {
		if err := w.makeManifest(); err != nil {
			return nil, err
		}
	}
	if s.sshKey != "" {
		if err := w.makeKeySecrets(s.sshKey); err != nil {
			return nil, badInput(err, "")
		}
	}
	return w, nil
}

// checkVersions sees that the bundle holds the versions the Cluster names.
func (w *wanted) checkVersions() input.Errors {
	var wrong input.Errors
	check := func(field, version string) {
		if _, err := w.bundle.Release(version); err != nil {
			next := ""
			if _, err := w.bundle.Release("v" + version); err == nil {
				next = "write v" + version
			}
			wrong = append(wrong, w.Mistake(w.Cluster, field, err.Error(), next))
		}
	}
	check("spec.version", w.Cluster.Spec.Version)
	for i, pool := range w.Cluster.Spec.Workers {
		if pool.Version != "" {
			check(fmt.Sprintf("spec.workers[%d].version", i), pool.Version)
		}
	}
	return wrong
}

// checkDigest compares the bundle with the digests the user trusts.
func (s *source) checkDigest(w *wanted) error {
	got := w.bundle.Digest().String()
	if s.digest != "" && s.digest != got {
		return fmt.Errorf("--digest: the bundle %s has digest %s, not %s", w.path, got, s.digest)
	}
	if m := w.Manifest; m != nil && m.Spec.Digest != got {
		return w.Mistake(m, "spec.digest", fmt.Sprintf("the bundle %s has digest %s, not %s", w.path, got, m.Spec.Digest), "")
	}
	return nil
}

// shownDigest is how much of a digest stands in a name: enough to tell a site's bundles apart.
const shownDigest = 12

// makeManifest makes the OfflineManifest of the bundle the user passed, and has the Cluster use it.
func (w *wanted) makeManifest() error {
	w.Manifest = manifestOf(w.Cluster.Spec.OfflineManifestRef.Name, w.path, w.bundle.Digest())
	if err := w.UseManifest(w.Manifest.Name); err != nil {
		return err
	}
	return w.addExtra(w.Manifest)
}

// manifestOf is an OfflineManifest of a file. Its name ends in the bundle's digest: the digest of an OfflineManifest never changes, so
// another bundle is another OfflineManifest.
func manifestOf(prefix, path string, d digest.Digest) *v1alpha1.OfflineManifest {
	return &v1alpha1.OfflineManifest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "OfflineManifest"},
		ObjectMeta: metav1.ObjectMeta{Name: prefix + "-" + d.Encoded()[:shownDigest]},
		Spec:       v1alpha1.OfflineManifestSpec{Source: (&url.URL{Scheme: "file", Path: path}).String(), Digest: d.String()},
	}
}

// makeKeySecrets makes the Secrets that Hosts name and the file does not hold.
func (w *wanted) makeKeySecrets(path string) error {
	key, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--ssh-key: %w", err)
	}
	for _, r := range w.Dangling() {
		id := client.ObjectKey{Namespace: r.Namespace, Name: r.Name}
		if r.Kind != "Secret" || w.keyed[id] != nil {
			continue
		}
		secret := &corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name, Labels: map[string]string{v1alpha1.CredentialsMark: "true"}},
			Data:       map[string][]byte{v1alpha1.SSHPrivateKeyKey: key},
		}
		w.keyed[id] = secret
		if err := w.addExtra(secret); err != nil {
			return err
		}
	}
	return nil
}

func (w *wanted) addExtra(object client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", object.GetName(), err)
	}
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	w.extra = append(w.extra, &unstructured.Unstructured{Object: content})
	return nil
}

// namespaces the objects are in, and those the file names.
func (w *wanted) namespaces() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	known := map[string]bool{}
	for _, n := range w.Namespaces {
		known[n.Name] = true
		out = append(out, w.AsWritten(n))
	}
	add := func(name string) {
		if !known[name] {
			known[name] = true
			n := &unstructured.Unstructured{}
			n.SetAPIVersion("v1")
			n.SetKind("Namespace")
			n.SetName(name)
			out = append(out, n)
		}
	}
	add(w.Cluster.Namespace)
	for _, h := range w.Hosts {
		add(h.Namespace)
	}
	for _, s := range w.Secrets {
		add(s.Namespace)
	}
	return out
}

// beforeCluster lists what must be there before the Cluster is, in order.
func (w *wanted) beforeCluster() []*unstructured.Unstructured {
	out := w.namespaces()
	for _, extra := range w.extra {
		out = append(out, extra.DeepCopy())
	}
	if raw := w.AsWritten(w.Manifest); raw != nil {
		out = append(out, raw)
	}
	return append(out, w.waysIn()...)
}

// waysIn lists what says how hosts are reached: the Secrets of the file, then its Hosts.
func (w *wanted) waysIn() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, s := range w.Secrets {
		out = append(out, w.AsWritten(s))
	}
	for _, h := range w.Hosts {
		out = append(out, w.AsWritten(h))
	}
	return out
}

// checkReferences sees that what the file names without holding it is known to the API server.
func (w *wanted) checkReferences(ctx context.Context, reader client.Reader) error {
	var wrong input.Errors
	for _, r := range w.Dangling() {
		key := client.ObjectKey{Namespace: r.Namespace, Name: r.Name}
		if r.Kind == "Secret" && w.keyed[key] != nil {
			continue
		}
		var object client.Object = &v1alpha1.Host{}
		next := "add the Host to the file, or correct the name"
		if r.Kind == "Secret" {
			object, next = &corev1.Secret{}, "add the Secret to the file, or give a key with --ssh-key"
		}
		err := reader.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			wrong = append(wrong, w.Mistake(r.From, r.Field, fmt.Sprintf("there is no %s %s in namespace %s", r.Kind, r.Name, r.Namespace), next))
			continue
		}
		if err != nil {
			return fmt.Errorf("look for %s %s: %w", r.Kind, key, err)
		}
	}
	if len(wrong) > 0 {
		return badInput(wrong, "")
	}
	return nil
}

// apply applies one object; with dry nothing is stored. The object comes back as the API server has, or would have, it.
func (w *wanted) apply(ctx context.Context, s *session.Session, object *unstructured.Unstructured, dry bool) error {
	content, err := object.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	options := []client.PatchOption{fieldOwner, client.ForceOwnership}
	if dry {
		options = append(options, client.DryRunAll)
	}
	if err := s.Client.Patch(ctx, object, client.RawPatch(types.ApplyPatchType, content), options...); err != nil {
		return w.explainRefusal(err, object)
	}
	return nil
}

// applyAll applies everything but the Cluster.
func (w *wanted) applyAll(ctx context.Context, s *session.Session) error {
	for _, object := range w.beforeCluster() {
		if err := w.apply(ctx, s, object, false); err != nil {
			return err
		}
	}
	return nil
}

// checkAll asks the API server whether it would take everything, before anything is stored, and returns the Cluster and the Hosts of
// the file as it would have them. Namespaces are made first: without them
// it can judge nothing inside.
func (w *wanted) checkAll(ctx context.Context, s *session.Session) (*v1alpha1.Cluster, map[string]*v1alpha1.Host, error) {
	hosts := map[string]*v1alpha1.Host{}
	var wrong input.Errors
	hint := ""
	refused := func(err error) bool {
		more, ok := errors.AsType[input.Errors](err)
		wrong = append(wrong, more...)
		if f, is := errors.AsType[*failure](err); is && f.hint != "" {
			hint = f.hint
		}
		return ok
	}
	for _, object := range w.beforeCluster() {
		if err := w.apply(ctx, s, object, object.GetKind() != "Namespace"); refused(err) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		if object.GetKind() == "Host" {
			host := &v1alpha1.Host{}
			if err := convert(object, host); err != nil {
				return nil, nil, err
			}
			hosts[object.GetName()] = host
		}
	}
	raw, cluster := w.AsWritten(w.Cluster), &v1alpha1.Cluster{}
	if err := w.apply(ctx, s, raw, true); !refused(err) && err != nil {
		return nil, nil, err
	}
	if len(wrong) > 0 {
		return nil, nil, badInput(wrong, hint)
	}
	return cluster, hosts, convert(raw, cluster)
}

// ofFile is the object of the user's file that was applied, or the applied one when it was made from flags.
func (w *wanted) ofFile(applied *unstructured.Unstructured) client.Object {
	all := []client.Object{w.Cluster}
	for _, h := range w.Hosts {
		all = append(all, h)
	}
	for _, s := range w.Secrets {
		all = append(all, s)
	}
	for _, n := range w.Namespaces {
		all = append(all, n)
	}
	if w.Manifest != nil {
		all = append(all, w.Manifest)
	}
	for _, o := range all {
		if o.GetObjectKind().GroupVersionKind() == applied.GroupVersionKind() && o.GetName() == applied.GetName() && o.GetNamespace() == applied.GetNamespace() {
			return o
		}
	}
	return applied
}

// explainRefusal turns an API server's refusal into mistakes of the file, each at its line and field.
func (w *wanted) explainRefusal(err error, object *unstructured.Unstructured) error {
	of := w.ofFile(object)
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("%s: apply: %w", w.Where(of), err)
	}
	details := status.Status().Details
	if details == nil || len(details.Causes) == 0 {
		return badInput(input.Errors{w.Mistake(of, "", status.Status().Message, "")}, "")
	}
	var wrong input.Errors
	hint := ""
	for _, cause := range details.Causes {
		if strings.Contains(cause.Message, "some validation rules were not checked") {
			hint = moreRules
			continue
		}
		field := cause.Field
		if field == "<nil>" {
			field = ""
		}
		message, next := inWords(cause.Message)
		wrong = append(wrong, w.Mistake(of, field, message, next))
	}
	return badInput(wrong, hint)
}

// moreRules is told where the API server did not get to its rules over several fields.
const moreRules = "further rules are judged when these mistakes are corrected"

var (
	// invalidValue is how the API server begins what it says of a value.
	invalidValue = regexp.MustCompile(`^Invalid value: (?:("(?:[^"\\]|\\.)*"|\[.*?\]|\{.*?\}|-?[0-9.]+|true|false|null): )?(.*)$`)
	// unsupportedValue lists the values that a field may have.
	unsupportedValue = regexp.MustCompile(`^Unsupported value: "([^"]*)": supported values: (.*)$`)
	// inBody is how a schema names the field again.
	inBody = regexp.MustCompile(`^[^ ]+ in body (should .*)$`)
)

// inWords puts a cause of a refusal into the words of the field: what a rule of ours says stands as it is.
func inWords(cause string) (message, next string) {
	if found := unsupportedValue.FindStringSubmatch(cause); found != nil {
		var values []string
		for value := range strings.SplitSeq(found[2], ", ") {
			values = append(values, strings.Trim(value, `"`))
		}
		if near := input.Likely(found[1], values); near != "" {
			return fmt.Sprintf("%q is not one of %s", found[1], strings.Join(values, ", ")), "write " + near
		}
		return fmt.Sprintf("%q is not one of %s", found[1], strings.Join(values, ", ")), ""
	}
	if cause == "Required value" {
		return "is missing", ""
	}
	found := invalidValue.FindStringSubmatch(cause)
	if found == nil {
		return cause, ""
	}
	value, says := found[1], found[2]
	if body := inBody.FindStringSubmatch(says); body != nil {
		return value + " " + body[1], ""
	}
	return says, ""
}
