package provision

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/preflight"
)

// checkNamedFiles names the check for files that arguments of static pods name.
const checkNamedFiles = "StaticPodFiles"

// namedFiles judges whether a control plane has what the arguments and volumes of its static pods name: without it, a static pod ends again
// and again. The host is asked only where the spec names anything.
func (x *execution) namedFiles(ctx context.Context, h desired.Host) ([]preflight.Problem, error) {
	if !h.IsControlPlane() {
		return nil, nil
	}
	files, missing, err := kubeadm.NamedFiles(x.desired)
	if err != nil {
		return nil, err
	}
	var problems []preflight.Problem
	for _, err := range missing {
		problems = append(problems, preflight.Problem{Host: h.Name, Check: checkNamedFiles, Message: err.Error()})
	}
	if len(files) == 0 {
		return problems, nil
	}
	request := hostapi.CheckRequest{Step: checkNamedFiles}
	for i, f := range files {
		kind := hostapi.ProbeFile
		if f.Dir {
			kind = hostapi.ProbeDirectory
		}
		request.Resources = append(request.Resources, hostapi.Resource{ID: fmt.Sprintf("probe/%d", i), Probe: &hostapi.Probe{Path: f.Path, PathType: kind}})
	}
	helper, err := x.sessions.helper(ctx, h.Name)
	if err != nil {
		return nil, err
	}
	verdicts, err := helper.Check(ctx, request)
	if err != nil {
		return nil, classify(err)
	}
	for i, v := range verdicts {
		if v.State != hostapi.Done && i < len(files) {
			problems = append(problems, preflight.Problem{Host: h.Name, Check: checkNamedFiles,
				Message: fmt.Sprintf("%s: %s: put it there on every control plane, or correct the argument", files[i].Field, v.Why)})
		}
	}
	return problems, nil
}
