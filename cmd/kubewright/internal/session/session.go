// Package session gives commands an API server to talk to: the embedded one of a state directory, started for this command or
// already run by another process. It also runs the controllers in this process. It must not know what a command does.
package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/standalone"
)

// attachLimit is how long to wait for another process that is just starting the control plane.
const attachLimit = 30 * time.Second

// Session is a way to an API server.
type Session struct {
	// Dir is the state directory.
	Dir *standalone.Dir
	// Programs that run, or ran the last time.
	Programs standalone.Programs
	// Config reaches the API server as an administrator, Client without a cache.
	Config *rest.Config
	Client client.WithWatch
	// Scheme of Client.
	Scheme *runtime.Scheme

	own *standalone.ControlPlane
}

// Scheme knows Kubernetes' own kinds and those of this project.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	return s, nil
}

// Start starts the control plane of a state directory with the programs of a bundle, or with those of the last time when b is nil.
// It returns a *standalone.LockedError when another process uses the directory. Close ends it.
func Start(ctx context.Context, path, command string, b *bundle.Bundle) (*Session, error) {
	open := standalone.OpenDir
	if b == nil {
		open = standalone.ExistingDir
	}
	dir, err := open(path)
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, command, b)
}

// StartOrAttach is Start, but uses the control plane that another process runs on the directory, if one does.
func StartOrAttach(ctx context.Context, path, command string, b *bundle.Bundle) (*Session, error) {
	s, err := Start(ctx, path, command, b)
	locked, ok := errors.AsType[*standalone.LockedError](err)
	if !ok {
		return s, err
	}
	dir, err := standalone.OpenDir(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, attachLimit)
	defer cancel()
	config, err := dir.Attach(ctx)
	if err != nil {
		return nil, errors.Join(locked, err)
	}
	programs, err := dir.RecordedPrograms()
	if err != nil {
		return nil, err
	}
	return connect(&Session{Dir: dir, Programs: programs, Config: config})
}

func start(ctx context.Context, dir *standalone.Dir, command string, b *bundle.Bundle) (*Session, error) {
	var programs standalone.Programs
	var err error
	if b != nil {
		programs, err = dir.ProgramsFrom(ctx, b)
	} else {
		programs, err = dir.RecordedPrograms()
	}
	if err != nil {
		return nil, err
	}
	own, err := standalone.Start(ctx, standalone.Options{Dir: dir, Programs: programs, Command: command})
	if err != nil {
		return nil, err
	}
	s, err := connect(&Session{Dir: dir, Programs: programs, Config: own.Config(), own: own})
	if err != nil {
		return nil, errors.Join(err, own.Stop())
	}
	return s, nil
}

func connect(s *Session) (*Session, error) {
	var err error
	if s.Scheme, err = Scheme(); err != nil {
		return nil, err
	}
	if s.Client, err = client.NewWithWatch(s.Config, client.Options{Scheme: s.Scheme}); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return s, nil
}

// Attached says that another process runs the control plane, and with it the controllers.
func (s *Session) Attached() bool { return s.own == nil }

// Wait blocks until the control plane of this session ends by itself, and returns why, or until ctx ends, and returns nil.
func (s *Session) Wait(ctx context.Context) error {
	if s.own == nil {
		<-ctx.Done()
		return nil
	}
	return s.own.Wait(ctx)
}

// Close ends what this session started.
func (s *Session) Close() error {
	if s.own == nil {
		return nil
	}
	return s.own.Stop()
}
