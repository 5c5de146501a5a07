//go:build faults

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
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

// The services of a Recorder's version 6, and where they serve.
const (
	recordedWeb, recordedWebAddr   = "ss6-webrest", "127.0.0.1:6443"
	recordedUsers, recordedSSHAddr = "ss6-worker", "127.0.0.1:2222"
)

// Greets implements step.Prober. Version 6 and 7 have one port for users.
func (p *recordedProber) Greets(_ context.Context, address string) error {
	if address != recordedSSHAddr {
		return fmt.Errorf("nobody greets at %s", address)
	}
	return p.runs(recordedUsers, machine.ServerService)
}

// AnswersOld implements step.Prober.
func (p *recordedProber) AnswersOld(_ context.Context, address string) error {
	if address != recordedWebAddr {
		return fmt.Errorf("nobody answers at %s", address)
	}
	return p.runs(recordedWeb)
}

// runs wants one of some services to run.
func (p *recordedProber) runs(services ...string) error {
	now, err := p.recorder.Recorded()
	if err != nil {
		return err
	}
	for _, name := range services {
		if _, ok := now.Running[name]; ok {
			return nil
		}
	}
	return fmt.Errorf("%s does not run", strings.Join(services, " or "))
}

// Listeners implements step.Prober: those of version 6, as long as it runs.
func (p *recordedProber) Listeners() ([]machine.Listener, error) {
	now, err := p.recorder.Recorded()
	if err != nil {
		return nil, err
	}
	var found []machine.Listener
	for name, addr := range map[string]string{recordedWeb: recordedWebAddr, recordedUsers: recordedSSHAddr} {
		if _, ok := now.Running[name]; ok {
			found = append(found, machine.Listener{Addr: netip.MustParseAddrPort(addr), Program: "/opt/Syncplify/ServerV6/bin/" + name})
		}
	}
	return found, nil
}

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
