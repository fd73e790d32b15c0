package server

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// logs answers from what is on the disk, whoever wrote it.
func (s *server) logs(_ context.Context, req *api.LogsRequest) (*api.Logs, error) {
	entries, err := s.log.Read(req.Operation, req.Tail)
	if err != nil {
		return nil, err
	}
	logs := &api.Logs{Entries: entries}
	for _, name := range s.runs.Names() {
		r, err := s.runs.Request(name)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Operation != req.Operation {
			continue
		}
		run, err := s.runs.Log(name, req.Tail)
		if err != nil {
			return nil, err
		}
		logs.Runs = append(logs.Runs, *run)
	}
	return logs, nil
}

func (s *server) operations(context.Context, *struct{}) (*api.OperationsResponse, error) {
	ops, err := s.log.Operations()
	if err != nil {
		return nil, err
	}
	return &api.OperationsResponse{Operations: ops}, nil
}

// maxPublicFile bounds a file that is read; certificates are far smaller.
const maxPublicFile = 1 << 20

// publicFile reads certificates of the cluster's PKI: the only files without secrets that a controller needs.
func (s *server) publicFile(_ context.Context, req *api.PublicFileRequest) (*api.PublicFileResponse, error) {
	const pki = "/etc/kubernetes/pki/"
	if path.Clean(req.Path) != req.Path || !strings.HasPrefix(req.Path, pki) || path.Ext(req.Path) != ".crt" {
		return nil, &api.InvalidError{Message: "only " + pki + "*.crt may be read"}
	}
	real := s.opts.Sys.Path(req.Path)
	fi, err := os.Lstat(real)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxPublicFile {
		return nil, errors.New(req.Path + " is not a small regular file")
	}
	data, err := os.ReadFile(real)
	if err != nil {
		return nil, err
	}
	return &api.PublicFileResponse{Content: data}, nil
}
