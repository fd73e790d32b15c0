package detach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Manager starts and follows detached commands.
type Manager struct {
	Sys *sys.System
	// Helper is the path of the helper's executable, which is the wrapper inside the unit.
	Helper string
}

// DefaultTimeout bounds a command that gives no bound itself.
const DefaultTimeout = 10 * time.Minute

const (
	// pollOutput is how often new output and the result are looked for.
	pollOutput = 50 * time.Millisecond
	// pollUnit is how often systemd is asked whether a unit without a result still runs.
	pollUnit = time.Second
	// grace is what systemd gives the wrapper beyond the command's own bound before it kills the unit.
	grace = 30 * time.Second
)

// UnitName is the transient unit of a command.
func UnitName(name string) string { return "kubewright-" + name + ".service" }

// LostError says that a command ended without leaving a result: the host restarted, or its unit was killed.
type LostError struct{ Name string }

func (e *LostError) Error() string {
	return fmt.Sprintf("command %s ended without a result (the host restarted or the unit %s was killed): it has to run again", e.Name, UnitName(e.Name))
}

// Running says whether the command runs now. The wrapper's lock is asked first, because it needs no program; systemd is
// asked for the moments before the wrapper holds it. A result without the lock means that it has ended, even while
// systemd is still clearing up the unit.
func (m *Manager) Running(ctx context.Context, name string) (bool, error) {
	if m.Locked(name) {
		return true, nil
	}
	if !sys.Exists(m.runPath(name, requestFile)) || sys.Exists(m.runPath(name, resultFile)) {
		return false, nil
	}
	active, err := m.unitActive(ctx, name)
	if err != nil || active {
		return active && !sys.Exists(m.runPath(name, resultFile)), err
	}
	// The wrapper may have got its lock between the two questions; only a second look is certain.
	return m.Locked(name), nil
}

func (m *Manager) unitActive(ctx context.Context, name string) (bool, error) {
	out, err := m.Sys.Runner.Run(ctx, "systemctl", "show", "--property=ActiveState", "--value", UnitName(name))
	if err != nil {
		return false, fmt.Errorf("ask whether command %s runs: %w", name, err)
	}
	switch strings.TrimSpace(out.Stdout) {
	case "active", "activating", "deactivating", "reloading":
		return true, nil
	}
	return false, nil
}

// waitGone waits until systemd has cleared up a unit whose wrapper has ended, so that its name is free.
func (m *Manager) waitGone(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tick := time.NewTicker(pollOutput)
	defer tick.Stop()
	for {
		active, err := m.unitActive(ctx, name)
		if err != nil || !active {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the unit of the last run of command %s does not go away: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}

// Locked says that the wrapper of the command holds its lock, and so runs. It is false for the moment between systemd's
// start of the unit and the wrapper's first step, which Running covers.
func (m *Manager) Locked(name string) bool {
	f, err := os.OpenFile(m.runPath(name, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	lock := &unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock) == nil && lock.Type != unix.F_UNLCK
}

// Result is how the last run of the command ended, nil when it did not (yet).
func (m *Manager) Result(name string) (*Result, error) {
	return readJSON[Result](m.runPath(name, resultFile))
}

// Request is what the last run was asked to do, nil when there was none.
func (m *Manager) Request(name string) (*Request, error) {
	return readJSON[Request](m.runPath(name, requestFile))
}

// Start puts the files in place and starts the unit. The caller has found that it does not run.
func (m *Manager) Start(ctx context.Context, operation string, c *api.Command) (err error) {
	dir := m.Sys.State("runs", c.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("start command %s: %w", c.Name, err)
	}
	if sys.Exists(filepath.Join(dir, resultFile)) {
		if err := m.waitGone(ctx, c.Name); err != nil {
			return fmt.Errorf("start command %s: %w", c.Name, err)
		}
	}
	// What the last run left must not be taken for what this one leaves.
	for _, f := range []string{resultFile, outputFile, oldOutput} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !sys.Missing(err) {
			return fmt.Errorf("start command %s: %w", c.Name, err)
		}
	}
	defer func() {
		if err == nil {
			return
		}
		// systemd may have started the unit although we did not hear of it; then the wrapper needs its files, and removes them.
		running, askErr := m.Running(context.WithoutCancel(ctx), c.Name)
		if askErr == nil && !running {
			_ = m.Sys.RemoveTree(api.RunDir(c.Name))
		}
	}()
	secrets, err := m.placeFiles(c)
	if err != nil {
		return err
	}
	timeout := time.Duration(c.TimeoutSeconds) * time.Second
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	argv := c.Argv
	if c.Begun != nil && sys.Exists(m.Sys.Path(c.Begun.Path)) {
		argv = c.Begun.Argv
	}
	if n, err := m.narrower(c); err != nil {
		return err
	} else if n != nil {
		argv = n.Argv
	}
	req := Request{
		Name: c.Name, Operation: operation, Key: c.Key, Inputs: c.Inputs, Argv: argv, Env: c.Env, SecretFiles: secrets,
		Creates: c.Creates, Outputs: c.Outputs, Covers: c.Covers, Removes: c.Removes, Scratch: c.Scratch, Discards: c.Discards, Watch: c.Watch, Timeout: timeout,
	}
	if err := writeJSON(filepath.Join(dir, requestFile), req); err != nil {
		return fmt.Errorf("start command %s: %w", c.Name, err)
	}
	if err := m.restoreHelper(); err != nil {
		return fmt.Errorf("start command %s: %w", c.Name, err)
	}
	out, err := m.Sys.Runner.Run(ctx, "systemd-run", "--quiet", "--collect", "--unit="+UnitName(c.Name),
		"--description=Kubewright command "+c.Name,
		"--property=Type=exec", "--property=KillMode=mixed", "--property=StandardInput=null",
		"--property=RuntimeMaxSec="+strconv.Itoa(int((timeout+grace).Seconds())),
		"--", m.Helper, "run", c.Name)
	if err != nil {
		return fmt.Errorf("start command %s: %w", c.Name, err)
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("start command %s: systemd-run: %s", c.Name, strings.Join(out.LastLines(3), "; "))
	}
	return nil
}

// restoreHelper puts the helper's file back when a reset in this session has removed it.
func (m *Manager) restoreHelper() error {
	if sys.Exists(m.Helper) {
		return nil
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("read the helper itself: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.Helper), 0o755); err != nil {
		return fmt.Errorf("put the helper back: %w", err)
	}
	return sys.WriteFile(m.Helper, program, 0o755)
}

func (m *Manager) placeFiles(c *api.Command) (secrets []string, err error) {
	if err := m.Sys.RemoveTree(api.RunDir(c.Name)); err != nil {
		return nil, fmt.Errorf("start command %s: %w", c.Name, err)
	}
	if len(c.Files) == 0 {
		return nil, nil
	}
	for _, f := range c.Files {
		p, err := c.FilePath(f)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(m.Sys.Path(filepath.Dir(p)), 0o700); err != nil {
			return nil, fmt.Errorf("start command %s: %w", c.Name, err)
		}
		if err := sys.WriteFile(m.Sys.Path(p), f.Content, 0o600); err != nil {
			return nil, fmt.Errorf("start command %s: %w", c.Name, err)
		}
		if f.Secret {
			secrets = append(secrets, p)
		}
	}
	return secrets, nil
}

// Follow hands every line of output to line until the command has ended, and returns its result. Errors: *LostError,
// or ctx's.
func (m *Manager) Follow(ctx context.Context, name string, line func(string)) (*Result, error) {
	tail := &tail{current: m.runPath(name, outputFile)}
	defer tail.close()
	tick := time.NewTicker(pollOutput)
	defer tick.Stop()
	ask := time.NewTicker(pollUnit)
	defer ask.Stop()
	for {
		result, err := m.Result(name)
		if err != nil {
			return nil, err
		}
		// The wrapper writes the result, clears up, and lets its lock go last.
		ended := result != nil && !m.Locked(name)
		tail.read(line)
		if ended {
			return result, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		case <-ask.C:
			running, err := m.Running(ctx, name)
			if err != nil {
				return nil, err
			}
			if running || result != nil {
				continue
			}
			// The result may have come just before the unit ended.
			if result, err = m.Result(name); err != nil || result == nil {
				return nil, errors.Join(err, &LostError{Name: name})
			}
		}
	}
}

// Stop ends the unit of a command, if it runs, and waits for it.
func (m *Manager) Stop(ctx context.Context, name string) error {
	running, err := m.Running(ctx, name)
	if err != nil || !running {
		return err
	}
	out, err := m.Sys.Runner.Run(ctx, "systemctl", "stop", UnitName(name))
	if err != nil {
		return fmt.Errorf("stop command %s: %w", name, err)
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("stop command %s: %s", name, strings.Join(out.LastLines(3), "; "))
	}
	return nil
}

// Remove deletes everything kept about a command, its receipt included.
func (m *Manager) Remove(name string) error {
	receipt := os.Remove(ReceiptPath(m.Sys, name))
	if sys.Missing(receipt) {
		receipt = nil
	}
	return errors.Join(m.Sys.RemoveTree(filepath.Join(sys.StateDir, "runs", name)), receipt, m.Sys.RemoveTree(api.RunDir(name)))
}

// Names lists the commands that left something on the host.
func (m *Manager) Names() []string {
	entries, err := os.ReadDir(m.Sys.State("runs"))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// RunningNames lists the commands that run now, by their locks alone.
func (m *Manager) RunningNames() []string {
	var names []string
	for _, n := range m.Names() {
		if m.Locked(n) {
			names = append(names, n)
		}
	}
	return names
}

// Log is what is kept of the last run of a command, with at most lines lines of output (0: all that is kept).
func (m *Manager) Log(name string, lines int) (*api.RunLog, error) {
	result, err := m.Result(name)
	if err != nil {
		return nil, err
	}
	log := &api.RunLog{Name: name, Running: m.Locked(name), Lines: m.LastLines(name, lines)}
	if result != nil {
		log.Started, log.Finished, log.ExitCode = result.Started, result.Finished, &result.ExitCode
	}
	return log, nil
}

// LastLines is the end of the command's output, already redacted; n = 0 is all that is kept.
func (m *Manager) LastLines(name string, n int) []string {
	var all []byte
	for _, f := range []string{oldOutput, outputFile} {
		// Output that is gone is an empty one.
		data, _ := os.ReadFile(m.runPath(name, f))
		all = append(all, data...)
	}
	if n <= 0 {
		n = len(all) + 1
	}
	return sys.LastLines(string(all), n)
}
