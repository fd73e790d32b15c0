package offlinemanifest

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// The chart grants reading Secrets and ConfigMaps in the manager's namespace by a Role of its own: markers are for all namespaces.

// caKey is the key of a ConfigMap with certificate authorities, as Kubernetes itself names it in kube-root-ca.crt.
const caKey = "ca.crt"

// requestFor makes the request of a fetch. Secret and ConfigMap are read from the API server each time and kept nowhere. The error is
// a *refusal, unless the API server failed.
func (s *scope) requestFor(ctx context.Context, d digest.Digest) (fetch.Request, error) {
	spec := s.manifest.Spec
	request := fetch.Request{
		Source:      spec.Source,
		Destination: s.store().incoming(d),
		Limits:      fetch.Limits{MaxBytes: s.Sources.MaxBytes, KeepFreeBytes: s.Sources.KeepFreeBytes},
		Network:     fetch.Network{AllowHTTP: s.Sources.AllowHTTP, AllowLoopback: s.Sources.AllowLoopback, S3Region: "us-east-1"},
	}
	if spec.S3 != nil {
		request.Network.S3Endpoint = spec.S3.Endpoint
		if spec.S3.Region != "" {
			request.Network.S3Region = spec.S3.Region
		}
	}
	if ref := spec.CredentialsRef; ref != nil {
		data, err := s.readSecret(ctx, ref.Name, "spec.credentialsRef")
		if err != nil {
			return fetch.Request{}, err
		}
		request.Credentials = fetch.Credentials{
			Username: string(data["username"]), Password: string(data["password"]),
			Token: string(data["token"]), TokenHost: string(data["tokenHost"]),
			AccessKeyID: string(data["accessKeyID"]), SecretAccessKey: string(data["secretAccessKey"]),
			SessionToken: string(data["sessionToken"]),
		}
	}
	if ref := spec.CABundleRef; ref != nil {
		authorities := &corev1.ConfigMap{}
		if err := s.read(ctx, authorities, ref.Name, "ConfigMap", "spec.caBundleRef"); err != nil {
			return fetch.Request{}, err
		}
		if request.Network.CABundle = authorities.Data[caKey]; request.Network.CABundle == "" {
			return fetch.Request{}, &refusal{ReasonReferenceNotFound, fmt.Sprintf("ConfigMap %s/%s, named in spec.caBundleRef, has no key %s: put the authorities there as PEM", s.Sources.Namespace, ref.Name, caKey)}
		}
	}
	return request, nil
}

// readSecret reads a Secret that the spec names. Who writes an OfflineManifest need not be allowed to read the manager's Secrets, and chooses
// the server that is told: the Secret itself has to say that it is meant for that.
func (s *scope) readSecret(ctx context.Context, name, field string) (map[string][]byte, error) {
	secret := &corev1.Secret{}
	if err := s.read(ctx, secret, name, "Secret", field); err != nil {
		return nil, err
	}
	data, err := capi.Credentials(secret)
	if err != nil {
		return nil, &refusal{ReasonReferenceNotFound, fmt.Sprintf("%s: %v", field, err)}
	}
	return data, nil
}

// read reads an object that the spec names.
func (s *scope) read(ctx context.Context, object client.Object, name, kind, field string) error {
	if s.Sources.Namespace == "" {
		return &refusal{ReasonReferenceNotFound, fmt.Sprintf("%s is set, but this manager knows no namespace of its own: start it with --namespace", field)}
	}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Sources.Namespace, Name: name}, object)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return &refusal{ReasonReferenceNotFound, fmt.Sprintf("%s %s/%s, named in %s, is not there or may not be read: create it there", kind, s.Sources.Namespace, name, field)}
	}
	if err != nil {
		return fmt.Errorf("read %s %s/%s: %w", kind, s.Sources.Namespace, name, err)
	}
	return nil
}
