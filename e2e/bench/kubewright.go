package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
)

// kubewright measures `kubewright up` from nothing, with the start of its own etcd and API server, and once more with nothing to do.
func (b *bench) kubewright(ctx context.Context, fleet *hosts.Fleet, bundlePath string) error {
	installation, done, err := b.installation(bundlePath)
	if err != nil {
		return err
	}
	defer done()
	if err := installation.Describe(fleet, options()); err != nil {
		return err
	}
	load := loadAverage()
	b.say("==> kubewright up, load average %s", load)
	began := time.Now()
	output, err := installation.Up(ctx)
	if err != nil {
		return withOutput(err, output)
	}
	b.results.kubewright = measured(began, load, output)
	b.say("    %s", b.results.kubewright.took)

	load = loadAverage()
	b.say("==> kubewright up with nothing to do, load average %s", load)
	began = time.Now()
	output, err = installation.Up(ctx)
	if err != nil {
		return withOutput(err, output)
	}
	b.results.again = measured(began, load, output)
	b.say("    %s", b.results.again.took)
	return nil
}

// options are the cluster of both runs.
func options() fixture.Options {
	return fixture.Options{
		Version: version, ControlPlanes: []string{"n1", "n2", "n3"}, Workers: []string{"n4"}, CgroupV1: fixture.CgroupV1(),
	}
}

func withOutput(err error, output string) error {
	return fmt.Errorf("%w; it printed:\n%s", err, tail(output, 40))
}
