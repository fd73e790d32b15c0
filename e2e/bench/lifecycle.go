package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// Versions that the second day begins with and leads to.
const (
	olderVersion = "v1.35.4"
	// newWorker joins a cluster that runs.
	newWorker = "n5"
)

// act is one thing done to a running cluster.
type act string

const (
	actUpgrade act = "upgrade"
	actAdd     act = "add one worker"
	actNothing act = "nothing to do"
	actReset   act = "reset of all hosts"
)

// goals are the ratios aimed at; acts without one are only shown.
func goals() map[act]float64 { return map[act]float64{actUpgrade: 1.3, actAdd: 1.5} }

// acts in the order they are done.
func acts() []act { return []act{actUpgrade, actAdd, actNothing, actReset} }

// skips says whether an act is left out: who begins with the version that the second day leads to has no upgrade to do.
func (b *bench) skips(one act) bool { return one == actUpgrade && b.lifecycle.begin == version }

// lifecycleFloor installs the version to begin with by script, which is not measured, and then does each act by hand.
func (b *bench) lifecycleFloor(ctx context.Context, fleet *hosts.Fleet, opened *bundle.Bundle) error {
	return b.withFloor(ctx, fleet, opened, b.lifecycle.begin, func(f *floor) error {
		b.say("==> scripted kubeadm %s, not measured", b.lifecycle.begin)
		s := &secondDay{floor: f}
		defer s.close()
		if err := s.install(ctx); err != nil {
			return err
		}
		for _, one := range []struct {
			act act
			do  func(context.Context) error
		}{
			{actUpgrade, s.upgrade}, {actAdd, s.addWorker}, {actReset, s.reset},
		} {
			if b.skips(one.act) {
				continue
			}
			load := loadAverage()
			b.say("==> scripted kubeadm: %s, load average %s", one.act, load)
			f.began, f.marks = time.Now(), nil
			if err := one.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", one.act, err)
			}
			result := measured(f.began, load, "")
			result.parts = f.marks
			b.lifecycle.floor[one.act] = result
			b.say("    %s", result.took)
		}
		return nil
	})
}

// lifecycleKubewright does the same by editing the user's file and running `kubewright up`.
func (b *bench) lifecycleKubewright(ctx context.Context, fleet *hosts.Fleet, bundlePath string) error {
	installation, done, err := b.installation(bundlePath)
	if err != nil {
		return err
	}
	defer done()
	o := options()
	o.Version = b.lifecycle.begin
	if err := installation.Describe(fleet, o); err != nil {
		return err
	}
	b.say("==> kubewright up of %s, not measured", b.lifecycle.begin)
	if output, err := installation.Up(ctx); err != nil {
		return withOutput(err, output)
	}
	o.Version = version
	grown := o
	grown.Workers = append([]string{newWorker}, o.Workers...)
	for _, one := range []struct {
		act act
		to  fixture.Options
	}{
		{actUpgrade, o}, {actAdd, grown}, {actNothing, grown}, {actReset, grown},
	} {
		if b.skips(one.act) {
			continue
		}
		if err := installation.Describe(fleet, one.to); err != nil {
			return err
		}
		load := loadAverage()
		b.say("==> kubewright: %s, load average %s", one.act, load)
		began := time.Now()
		output, err := b.do(ctx, installation, one.act)
		if err != nil {
			return withOutput(fmt.Errorf("%s: %w", one.act, err), output)
		}
		b.lifecycle.kubewright[one.act] = measured(began, load, output)
		b.say("    %s", b.lifecycle.kubewright[one.act].took)
	}
	return nil
}

func (b *bench) do(ctx context.Context, i *kubewright.Installation, what act) (string, error) {
	if what != actReset {
		return i.Up(ctx)
	}
	r, err := i.Start(i.Command(ctx, "delete", i.Name, "--reset", "--yes"))
	if err != nil {
		return "", err
	}
	return r.Wait()
}

// installation is a new state directory, which done removes.
func (b *bench) installation(bundlePath string) (i *kubewright.Installation, done func(), err error) {
	repository, err := os.Getwd()
	if err != nil {
		return nil, nil, err
	}
	program, err := kubewright.Program(repository)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "kubewright-bench-")
	if err != nil {
		return nil, nil, err
	}
	i = &kubewright.Installation{Program: program, Bundle: bundlePath, Dir: dir, Name: "bench"}
	if b.verbose {
		i.Output = b.out
	}
	return i, func() { _ = os.RemoveAll(dir) }, nil
}

// lifecycleResults are what both sides took for each act.
type lifecycleResults struct {
	floor, kubewright map[act]*result
	// begin is the version that a cluster has before its second day.
	begin string
}

func newLifecycleResults() lifecycleResults {
	return lifecycleResults{floor: map[act]*result{}, kubewright: map[act]*result{}}
}

// print writes a line for each act.
func (r lifecycleResults) print(w io.Writer) error {
	t := newTable(w)
	_, _ = fmt.Fprintf(t, "\n3 CONTROL PLANES + 1 WORKER, %s TO %s\tFLOOR\tKUBEWRIGHT\tRATIO\tGOAL\tLOAD BEFORE EACH (1, 5, 15 MIN)\tCONNECTIONS/REQUESTS PER HOST\n", r.begin, version)
	for _, one := range acts() {
		floor, kubewright := r.floor[one], r.kubewright[one]
		goal := ""
		if limit := goals()[one]; limit > 0 {
			goal = fmt.Sprintf("at most %.1f", limit)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one, floor.seconds(), kubewright.seconds(), ratio(kubewright, floor), goal, loads(floor, kubewright), kubewright.perHost())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, one := range acts() {
		if floor := r.floor[one]; floor != nil {
			_, _ = fmt.Fprintf(w, "\nfloor, %s, seconds after its start: %s\n", one, list(floor.parts))
		}
		if kubewright := r.kubewright[one]; kubewright != nil {
			_, _ = fmt.Fprintf(w, "kubewright, %s, slowest steps: %s\n", one, list(kubewright.parts))
		}
	}
	return nil
}
