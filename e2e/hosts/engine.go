package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// EngineOptions say where an engine that this package starts keeps its files.
type EngineOptions struct {
	// Dir holds the process id, the log and, unless DataRoot says otherwise, the data of the engine.
	// Default: /var/lib/kubewright-e2e.
	Dir string
	// DataRoot is where the engine keeps images and containers. Default: Dir/docker. It must not be on an overlay.
	DataRoot string
	// Log receives one line per thing worth knowing. Default: nobody.
	Log func(format string, args ...any)
}

const (
	defaultEngineDir = "/var/lib/kubewright-e2e"
	// systemdMark stands in the pid file when the service manager runs the engine that was started on our behalf.
	systemdMark = "systemd"
	// engineStart is how long dockerd may take; with many containers to restore it is slow.
	engineStart = 90 * time.Second
	// engineStop is how long dockerd may take to stop its containers.
	engineStop = 90 * time.Second
)

func (o EngineOptions) withDefaults() EngineOptions {
	if o.Dir == "" {
		o.Dir = defaultEngineDir
	}
	if o.DataRoot == "" {
		o.DataRoot = filepath.Join(o.Dir, "docker")
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	return o
}

func (o EngineOptions) pidFile() string { return filepath.Join(o.Dir, "dockerd.pid") }
func (o EngineOptions) logFile() string { return filepath.Join(o.Dir, "dockerd.log") }

// EnsureEngine makes sure that a Docker engine answers. One that already answers is used as it is. Else, for root on
// Debian and Ubuntu, Docker is installed from the distribution's packages and started; it keeps running after this
// process. Anybody else gets an error that wraps ErrNoEngine and says what to do.
func EnsureEngine(ctx context.Context, o EngineOptions) error {
	o = o.withDefaults()
	pingErr := ping(ctx)
	if pingErr == nil {
		return nil
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return fmt.Errorf("%w: DOCKER_HOST is %s, which does not answer; start that engine or unset DOCKER_HOST: %w", ErrNoEngine, host, pingErr)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run this as root on Debian or Ubuntu to have Docker installed and started, or start Docker and give this user access to it: %w", ErrNoEngine, pingErr)
	}
	unlock, err := lock(ctx, filepath.Join(o.Dir, "engine.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	// Whoever held the lock may have started it.
	if ping(ctx) == nil {
		return nil
	}
	if err := installEngine(ctx, o.Log); err != nil {
		return fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	// Installing the packages on a machine with a service manager starts the engine already.
	if ping(ctx) == nil {
		return nil
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return startBySystemd(ctx, o)
	}
	if pid, err := readPID("/var/run/docker.pid"); err == nil && isDockerd(pid) {
		return awaitOther(ctx, o, pid)
	}
	return startDaemon(ctx, o)
}

// ping asks the engine for its version.
func ping(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("the docker command is missing: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := docker(ctx, "version", "--format", "{{.Server.Version}}")
	return err
}

func installEngine(ctx context.Context, log func(string, ...any)) error {
	var packages []string
	if !haveProgram("dockerd") {
		packages = append(packages, "docker.io")
	}
	if !haveProgram("iptables") {
		packages = append(packages, "iptables")
	}
	if err := installPackages(ctx, log, packages...); err != nil {
		return err
	}
	if !haveProgram("docker") {
		// From Debian 13 on, the client is a package of its own.
		return installPackages(ctx, log, "docker-cli")
	}
	return nil
}

func startBySystemd(ctx context.Context, o EngineOptions) error {
	o.Log("starting the docker service")
	if _, err := command(ctx, nil, "systemctl", "start", "docker"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	if err := os.WriteFile(o.pidFile(), []byte(systemdMark+"\n"), 0o600); err != nil {
		return fmt.Errorf("record that the engine is ours: %w", err)
	}
	return ping(ctx)
}

// awaitOther waits for an engine that somebody else, perhaps the package's init script, is starting right now.
func awaitOther(ctx context.Context, o EngineOptions, pid int) error {
	o.Log("waiting for dockerd, process %d, which is starting", pid)
	ctx, cancel := context.WithTimeout(ctx, engineStart)
	defer cancel()
	var last error
	err := until(ctx, func() (bool, error) {
		last = ping(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w: dockerd, process %d, runs but does not answer; stop it or look at its log: %w", ErrNoEngine, pid, errors.Join(err, last))
	}
	return nil
}

func startDaemon(ctx context.Context, o EngineOptions) error {
	o.Log("starting dockerd, data in %s, log in %s", o.DataRoot, o.logFile())
	if err := os.MkdirAll(o.DataRoot, 0o710); err != nil {
		return fmt.Errorf("make the engine's data root: %w", err)
	}
	log, err := os.OpenFile(o.logFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the engine's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("dockerd", "--data-root", o.DataRoot)
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own, so that neither a hang-up nor an interrupt meant for this process reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: start dockerd: %w", ErrNoEngine, err)
	}
	if err := os.WriteFile(o.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		return fmt.Errorf("record the engine's process id: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	ctx, cancel := context.WithTimeout(ctx, engineStart)
	defer cancel()
	var last error
	err = until(ctx, func() (bool, error) {
		select {
		case err := <-exited:
			_ = os.Remove(o.pidFile())
			return false, fmt.Errorf("dockerd ended: %w", errors.Join(err, errors.New("see its log")))
		default:
		}
		last = ping(ctx)
		return last == nil, nil
	})
	if err != nil {
		if last != nil {
			err = fmt.Errorf("%w (%w)", err, last)
		}
		text, _ := os.ReadFile(o.logFile())
		return fmt.Errorf("%w: dockerd does not answer: %w; the end of %s:\n%s", ErrNoEngine, err, o.logFile(), tail(string(text), 2000))
	}
	return nil
}

// StopEngine stops the engine, but only one that EnsureEngine started; any other is left alone. It reports whether there
// was one to stop. The engine's data stays, so that the next start is quick.
func StopEngine(ctx context.Context, o EngineOptions) (bool, error) {
	o = o.withDefaults()
	text, err := os.ReadFile(o.pidFile())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read which engine is ours: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(o.Dir, "engine.lock"))
	if err != nil {
		return false, err
	}
	defer unlock()
	mark := strings.TrimSpace(string(text))
	if mark == systemdMark {
		if _, err := command(ctx, nil, "systemctl", "stop", "docker.service", "docker.socket"); err != nil {
			return false, err
		}
		return true, os.Remove(o.pidFile())
	}
	pid, err := readPID(o.pidFile())
	if err != nil {
		return false, err
	}
	if !isDockerd(pid) {
		// It died, and the number may be somebody else's by now.
		return false, os.Remove(o.pidFile())
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return false, fmt.Errorf("stop dockerd, process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, engineStop)
	defer cancel()
	if err := until(ctx, func() (bool, error) { return !isDockerd(pid), nil }); err != nil {
		return false, fmt.Errorf("dockerd, process %d, does not stop: %w", pid, err)
	}
	return true, os.Remove(o.pidFile())
}

// readPID reads a file that holds the id of one ordinary process.
func readPID(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read a process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s holds %q, which is no process id: remove the file", path, text)
	}
	return pid, nil
}

// isDockerd says whether a living process is dockerd. A zombie has no command line and counts as gone.
func isDockerd(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	program, _, _ := strings.Cut(string(text), "\x00")
	return filepath.Base(program) == "dockerd"
}
