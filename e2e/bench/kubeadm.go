package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
)

const (
	kubeadmAPI    = "kubeadm.k8s.io/v1beta4"
	podSubnet     = "10.244.0.0/16"
	serviceSubnet = "10.96.0.0/16"
	apiPort       = 6443
)

// secrets are chosen beforehand, so that joining hosts need not be told them after init.
type secrets struct{ token, certificateKey string }

func newSecrets() (secrets, error) {
	random := make([]byte, 43)
	if _, err := rand.Read(random); err != nil {
		return secrets{}, err
	}
	token := hex.EncodeToString(random[:11])
	return secrets{token: token[:6] + "." + token[6:], certificateKey: hex.EncodeToString(random[11:])}, nil
}

// overrides are what container hosts need, exactly as the cluster given to Kubewright has it.
func overrides(fleet *hosts.Fleet) (map[string]any, error) {
	var found map[string]any
	o := options()
	o.Name = "floor"
	o.Edit = func(kind string, object map[string]any) {
		if spec, ok := object["spec"].(map[string]any); kind == "Cluster" && ok {
			found, _ = spec["overrides"].(map[string]any)
		}
	}
	if _, err := fixture.Manifest(fleet, o); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errors.New("the cluster of e2e/fixture has no overrides")
	}
	return found, nil
}

// initConfig has the settings that Kubewright renders, where they are not about its own ways.
func initConfig(version string, first hosts.Host, over map[string]any, s secrets) (string, error) {
	kubelet := map[string]any{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
	proxy := map[string]any{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables"}
	lay(kubelet, over["kubelet"])
	lay(proxy, over["kubeProxy"])
	return documents(
		map[string]any{
			"apiVersion": kubeadmAPI, "kind": "InitConfiguration",
			"nodeRegistration": registration(first, over),
			"localAPIEndpoint": endpoint(first),
			"bootstrapTokens":  []any{map[string]any{"token": s.token, "ttl": "30m0s"}},
			"certificateKey":   s.certificateKey,
			"skipPhases":       []any{"show-join-command"},
		},
		map[string]any{
			"apiVersion": kubeadmAPI, "kind": "ClusterConfiguration",
			"clusterName": "floor", "kubernetesVersion": version, "encryptionAlgorithm": "ECDSA-P256",
			"controlPlaneEndpoint": address(first),
			"networking":           map[string]any{"podSubnet": podSubnet, "serviceSubnet": serviceSubnet, "dnsDomain": "cluster.local"},
		},
		kubelet, proxy)
}

func joinConfig(h hosts.Host, first hosts.Host, controlPlane bool, over map[string]any, s secrets, caHash string) (string, error) {
	join := map[string]any{
		"apiVersion": kubeadmAPI, "kind": "JoinConfiguration",
		"nodeRegistration": registration(h, over),
		"discovery": map[string]any{"bootstrapToken": map[string]any{
			"apiServerEndpoint": address(first), "token": s.token, "caCertHashes": []any{caHash},
		}},
		// Two control planes join at once and etcd takes one after the other.
		"timeouts": map[string]any{"etcdAPICall": "5m0s"},
	}
	if controlPlane {
		join["controlPlane"] = map[string]any{"localAPIEndpoint": endpoint(h), "certificateKey": s.certificateKey}
	}
	return documents(join)
}

func registration(h hosts.Host, over map[string]any) map[string]any {
	return map[string]any{
		"name": h.Name, "criSocket": "unix:///run/containerd/containerd.sock", "imagePullPolicy": "Never",
		"ignorePreflightErrors": over["ignorePreflightErrors"],
		"kubeletExtraArgs":      []any{map[string]any{"name": "node-ip", "value": h.Address.String()}},
	}
}

func endpoint(h hosts.Host) map[string]any {
	return map[string]any{"advertiseAddress": h.Address.String(), "bindPort": apiPort}
}

func address(h hosts.Host) string { return fmt.Sprintf("%s:%d", h.Address, apiPort) }

// lay puts the top fields of over on base; the fixture's overrides need no deeper merge.
func lay(base map[string]any, over any) {
	fields, _ := over.(map[string]any)
	for k, v := range fields {
		base[k] = v
	}
}

func documents(docs ...map[string]any) (string, error) {
	var out bytes.Buffer
	for _, doc := range docs {
		text, err := yaml.Marshal(doc)
		if err != nil {
			return "", err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.String(), nil
}

// caHash is the digest of a CA's public key as kubeadm's discovery wants it.
func caHash(certificate string) (string, error) {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil {
		return "", errors.New("ca.crt holds no PEM block")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("ca.crt: %w", err)
	}
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
