//go:build faults

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

// recordVar puts a service manager in place that only remembers.
const recordVar = "SS_SETUP_RECORD"

// record puts that service manager in place, if the environment
// asks for it.
func (s *session) record() error {
	if os.Getenv(recordVar) == "" {
		return nil
	}
	recorder, err := machine.NewRecorder(s.m.FS)
	if err != nil {
		return err
	}
	s.m.Services = recorder
	s.m.Prober = &recordedProber{recorder: recorder, fs: s.m.FS}
	s.m.Offline, s.options.Offline = false, false
	return nil
}

func errnoNamed(name string) syscall.Errno {
	const last = 133
	for n := syscall.Errno(1); n <= last; n++ {
		if unix.ErrnoName(n) == name {
			return n
		}
	}
	return 0
}

// die ends this process as the kernel would, and never returns.
func die() {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// guardEnv is the environment of the guard besides what every process has.
func (s *session) guardEnv() []string {
	env := []string{envPrefix + "HEALTH_TIMEOUT=" + s.options.HealthTimeout.String()}
	for _, name := range []string{guardFaultVar, guardFaultLogVar} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// recordedProber answers for services that only a Recorder knows to run.
type recordedProber struct {
	recorder *machine.Recorder
	fs       *machine.FS
}

// Probe implements step.Prober.
func (p *recordedProber) Probe(_ context.Context, service string, _ int) (step.Health, error) {
	now, err := p.recorder.Recorded()
	if err != nil {
		return step.Health{}, err
	}
	running, ok := now.Running[service]
	if !ok {
		return step.Health{}, fmt.Errorf("%s does not run", service)
	}
	n, err := strconv.Atoi(running.Generation)
	if err != nil {
		return step.Health{}, err
	}
	version, err := p.version(running.Release)
	return step.Health{Version: version, Generation: n, Ready: true}, err
}

// version reads what the release says of itself.
func (p *recordedProber) version(release string) (string, error) {
	content, err := p.fs.ReadFile(path.Join(machine.Release(release), "manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("release %s has no manifest", release)
	}
	if err != nil {
		return "", err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	err = json.Unmarshal(content, &manifest)
	return manifest.Version, err
}

// Greets implements step.Prober. A Recorder knows no bindings.
func (p *recordedProber) Greets(context.Context, string) error { return nil }

// Listens implements step.Prober. A Recorder knows no ports.
func (p *recordedProber) Listens(int) bool { return false }

// PortsFree implements step.Prober.
func (p *recordedProber) PortsFree(_ context.Context, service string) error {
	now, err := p.recorder.Recorded()
	if err != nil {
		return err
	}
	if _, runs := now.Running[service]; runs {
		return fmt.Errorf("%s still runs", service)
	}
	return nil
}
