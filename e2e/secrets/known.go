//go:build e2e

package secrets

import (
	"bytes"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewright/kubewright/pkg/testenv/planted"
)

const (
	// controlPlane is logged in to with an encrypted key, worker with a password, which sudo there wants as well.
	controlPlane, worker = "n1", "n2"
	// ofCluster names the API server of the cluster that is made.
	ofCluster = "cluster"
)

// known are the secrets that a test knows, planted ones and those that were made in its course.
type known struct {
	secrets []planted.Secret
	// at says in which files of hosts a secret is meant to be, by its name.
	at map[string]map[file]bool
}

// file is one of a host.
type file struct{ host, path string }

// plant adds a secret that is meant to be in no file of a host.
func (k *known) plant(name string, value []byte) {
	k.secrets = append(k.secrets, planted.Secret{Name: name, Value: value})
}

// take adds the private keys of what a file or Secret holds, a kubeconfig's too; what holds none is left out. They are meant to be in the
// files that are given.
func (k *known) take(name string, content []byte, meant ...file) error {
	if config, err := clientcmd.Load(content); err == nil && len(config.AuthInfos) > 0 {
		for _, user := range config.AuthInfos {
			if user.Token != "" {
				k.plant(name+", token", []byte(user.Token))
			}
			if len(user.ClientKeyData) > 0 {
				if err := k.key(name, user.ClientKeyData, meant); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if !bytes.Contains(content, []byte("PRIVATE KEY-----")) {
		return nil
	}
	return k.key(name, content, meant)
}

func (k *known) key(name string, content []byte, meant []file) error {
	secrets, err := planted.Key(name, content)
	if err != nil {
		return err
	}
	k.secrets = append(k.secrets, secrets...)
	// The same key may have been taken from somewhere else, under another name.
	for _, name := range planted.In(secrets[0].Value, k.secrets...) {
		if k.at[name] == nil {
			k.at[name] = map[file]bool{}
		}
		for _, f := range meant {
			k.at[name][f] = true
		}
	}
	return nil
}

// opened adds what Secrets of API servers hold: private keys, kubeconfigs, the key of backups. Public halves and names are none.
func (k *known) opened(v *vault) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, value := range v.data {
		switch {
		case strings.HasSuffix(name, ", ssh-privatekey"): // encrypted; planted from the beginning
		case bytes.Contains(value, []byte("AGE-SECRET-KEY-")), strings.HasSuffix(name, ", token-secret"):
			k.plant(name, bytes.TrimSpace(value))
		default:
			if err := k.take(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// meant says whether a secret belongs into a file of a host. The etcd of a cluster holds the cluster's own Secrets.
func (k *known) meant(host, path, secret string) bool {
	ofEtcd := host == controlPlane && strings.HasPrefix(path, "/var/lib/etcd/") && strings.HasPrefix(secret, ofCluster+": Secret ")
	return ofEtcd || k.at[secret][file{host, path}]
}
