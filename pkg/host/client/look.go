package client

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// look takes out of resources what must not travel in a request that only looks. Keyed digests of secret files go instead of their content;
// a helper of an earlier release, which does not know those, compares the files as it compares content of the bundle, by plain digest.
func (c *Client) look(resources []api.Resource) ([]api.Resource, error) {
	if !c.hello.Seals {
		return api.Look(resources, func(content []byte, f *api.File) {
			sum := sha256.Sum256(content)
			f.Blob, f.Size = "sha256:"+hex.EncodeToString(sum[:]), int64(len(content))
		}), nil
	}
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key to compare secrets with: %w", err)
	}
	return api.Look(resources, func(content []byte, f *api.File) { f.Seal = api.NewSeal(key, content) }), nil
}

// hideDigests says of a secret file that differs no more than that. A helper of an earlier release names both digests, which are no
// secrets, but are nobody's business either.
func hideDigests(looks []api.Resource, verdicts []api.Verdict) {
	for i := range min(len(looks), len(verdicts)) {
		f := looks[i].File
		if f != nil && f.Secret && f.Blob != "" && strings.Contains(verdicts[i].Why, f.Blob) {
			verdicts[i].Why = f.Path + " has other content (secret)"
		}
	}
}
