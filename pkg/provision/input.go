package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// input gathers what the planner must not fetch or make up itself.
func (x *execution) input() (plan.Input, error) {
	in := plan.Input{
		Cluster: x.desired, Bundle: x.request.Bundle.Config().Name, Facts: x.facts, State: x.state,
		Scope: x.scope, Via: x.via, LeftOut: x.leftOut, SpecDigest: x.specDigest, Backup: x.backupOf(),
	}
	for _, l := range x.leaving {
		in.Leaving = append(in.Leaving, plan.Leaving{Name: l.Name, ControlPlane: l.ControlPlane, Orphan: l.Orphan})
	}
	var err error
	if in.Flannel, err = x.manifest("flannel.yaml"); err != nil {
		return in, err
	}
	in.MetricsServer, err = x.manifest("metrics-server.yaml")
	return in, err
}

// keptBackups is how many snapshots stay on a control plane.
const keptBackups = 5

// backupOf is the snapshot of this operation. Its name is the operation's, so that one operation takes one.
func (x *execution) backupOf() hostapi.Backup {
	return hostapi.Backup{
		Name: x.desired.Name + "-" + x.request.Operation.Name, Recipient: x.request.BackupRecipient, Keep: keptBackups,
	}
}

// maxManifest bounds a manifest that is read into memory.
const maxManifest = 4 << 20

func (x *execution) manifest(name string) ([]*unstructured.Unstructured, error) {
	file, err := x.desired.Release.File(name, "")
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	// It is applied with all rights there are, long after the bundle was verified.
	text, err := x.request.Bundle.ReadBlob(file.Digest, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	objects, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", name, err)
	}
	return objects, nil
}

func decode(text []byte) ([]*unstructured.Unstructured, error) {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(objects)+1, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
