//go:build faults

package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// The changing calls of a Recorder. It asks FS.Before with them, the path being
// the name of the service.
const (
	OpServiceReload Op = "service-reload"
	OpServiceStart  Op = "service-start"
	OpServiceStop   Op = "service-stop"
	OpDetach        Op = "service-detach"
	OpEndDetached   Op = "service-end"
)

// What a Recorder keeps, below the root. It is written past FS: it stands for
// the memory of a service manager, which no fault of a disk reaches.
const (
	RecordedState = "/run/recorded-services.json"
	RecordedCalls = "/run/recorded-calls.log"
)

// Recorded is what a Recorder knows to run.
type Recorded struct {
	Running  map[string]RecordedService `json:"running"`
	Detached map[string][]string        `json:"detached"`
}

// RecordedService is with what a service was started, as the files were then.
type RecordedService struct {
	// Generation and Release are the names of the folders that the links lead to.
	Generation string `json:"generation"`
	Release    string `json:"release"`
	// Definition is the SHA-256 of the definition.
	Definition string `json:"definition"`
}

// Recorder is a service manager for fault tests below a root. It keeps files as
// the image's own manager does, starts nothing, and remembers what would run
// from which release and generation.
type Recorder struct {
	conventions
	fs *FS
	// one act at a time: services are started and stopped together
	one sync.Mutex
}

// NewRecorder is the simulation of the manager whose files lie below f's root.
func NewRecorder(f *FS) (*Recorder, error) {
	if f.Root == "" {
		return nil, errors.New("record services: only below a root")
	}
	c, err := imageConventions(f)
	if err != nil {
		return nil, err
	}
	return &Recorder{conventions: c, fs: f}, nil
}

// Recorded tells what runs.
func (r *Recorder) Recorded() (Recorded, error) {
	now := Recorded{Running: map[string]RecordedService{}, Detached: map[string][]string{}}
	content, err := os.ReadFile(r.fs.Real(RecordedState))
	if errors.Is(err, fs.ErrNotExist) {
		return now, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &now)
	}
	if err != nil {
		return Recorded{}, fmt.Errorf("read what runs: %w", err)
	}
	return now, nil
}

func (r *Recorder) save(now Recorded) error {
	content, err := json.MarshalIndent(now, "", "\t")
	if err != nil {
		return err
	}
	file := r.fs.Real(RecordedState)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+TempSuffix, append(content, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+TempSuffix, file)
}

// act asks whether the act may be, changes what runs and logs it.
func (r *Recorder) act(op Op, name string, change func(*Recorded) (note string, err error)) error {
	r.one.Lock()
	defer r.one.Unlock()
	if err := r.fs.before(op, name); err != nil {
		return err
	}
	now, err := r.Recorded()
	if err != nil {
		return err
	}
	note, err := change(&now)
	if err != nil {
		return errors.Join(err, r.log(op, name, "failed"))
	}
	return errors.Join(r.save(now), r.log(op, name, note))
}

func (r *Recorder) log(op Op, name, note string) error {
	file := r.fs.Real(RecordedCalls)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	h, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(h, strings.TrimRight(fmt.Sprintf("%s %s %s", op, name, note), " "))
	return errors.Join(err, h.Close())
}

// Calls are the acts so far, one a line: operation, name, what came of it.
func (r *Recorder) Calls() ([]string, error) {
	content, err := os.ReadFile(r.fs.Real(RecordedCalls))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(string(bytes.TrimSuffix(content, []byte("\n"))), "\n"), nil
}

// Boot stands for a restart of the machine: nothing runs any more, then what is
// enabled of services is started, as far as it can be.
func (r *Recorder) Boot(ctx context.Context, services ...string) error {
	if err := r.save(Recorded{Running: map[string]RecordedService{}, Detached: map[string][]string{}}); err != nil {
		return err
	}
	for _, name := range services {
		state, err := r.fileState(name)
		if err != nil {
			return err
		}
		if state.Enabled {
			// A service that cannot start does not stop a boot.
			_ = r.Start(ctx, name)
		}
	}
	return nil
}

// Reload does nothing but be recorded.
func (r *Recorder) Reload(context.Context) error {
	return r.act(OpServiceReload, "", func(*Recorded) (string, error) { return "", nil })
}

// Start notes that a service runs, if its files would let it.
func (r *Recorder) Start(_ context.Context, service string) error {
	return r.act(OpServiceStart, service, func(now *Recorded) (string, error) {
		if _, runs := now.Running[service]; runs {
			return "runs already", nil
		}
		started, err := r.startable(service)
		if err != nil {
			return "", fmt.Errorf("start %s: %w", service, err)
		}
		now.Running[service] = started
		return started.Generation + " " + started.Release, nil
	})
}

func (r *Recorder) startable(service string) (RecordedService, error) {
	state, err := r.fileState(service)
	if err != nil {
		return RecordedService{}, err
	}
	file := r.Definition(service).Path
	if !state.Installed || state.Masked {
		return RecordedService{}, fmt.Errorf("%s is missing or masked", file)
	}
	definition, err := r.fs.ReadFile(file)
	if err != nil {
		return RecordedService{}, err
	}
	sum := sha256.Sum256(definition)
	if !isOwn(service) {
		return RecordedService{Definition: hex.EncodeToString(sum[:])}, nil
	}
	generation, err := r.follow(Current)
	if err != nil {
		return RecordedService{}, err
	}
	release, err := r.follow(path.Join(generation, "release"))
	if err != nil {
		return RecordedService{}, err
	}
	program := path.Join(release, "bin", service)
	if !r.fs.Exists(program) {
		return RecordedService{}, fmt.Errorf("%s is missing", program)
	}
	return RecordedService{
		Generation: path.Base(generation), Release: path.Base(release), Definition: hex.EncodeToString(sum[:]),
	}, nil
}

// follow reads a link of the machine; its target is a path of the machine too.
func (r *Recorder) follow(link string) (string, error) {
	target, err := r.fs.Readlink(link)
	if err != nil {
		return "", err
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(link), target)
	}
	return target, nil
}

// Stop notes that a service does not run any more.
func (r *Recorder) Stop(_ context.Context, service string) error {
	return r.act(OpServiceStop, service, func(now *Recorded) (string, error) {
		if _, runs := now.Running[service]; !runs {
			return "did not run", nil
		}
		delete(now.Running, service)
		return "", nil
	})
}

// State tells what the files and the notes say.
func (r *Recorder) State(_ context.Context, service string) (ServiceState, error) {
	state, err := r.fileState(service)
	if err != nil {
		return ServiceState{}, err
	}
	now, err := r.Recorded()
	if err != nil {
		return ServiceState{}, err
	}
	_, state.Active = now.Running[service]
	return state, nil
}

// Detach notes that a program would run.
func (r *Recorder) Detach(_ context.Context, name string, argv, _ []string) error {
	return r.act(OpDetach, name, func(now *Recorded) (string, error) {
		now.Detached[name] = argv
		return "", nil
	})
}

// EndDetached notes that it does not.
func (r *Recorder) EndDetached(_ context.Context, name string) error {
	return r.act(OpEndDetached, name, func(now *Recorded) (string, error) {
		delete(now.Detached, name)
		return "", nil
	})
}
