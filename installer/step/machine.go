package step

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

// Step is one change of a Machine.
type Step = txn.Step[*Machine]

// Plan is a list of steps over a Machine.
type Plan = txn.Plan[*Machine]

// ErrReleaseFailed marks the failures that speak against the release itself,
// not against the machine: it did not pass its self-test, could not migrate the
// store or did not become healthy. Such a release is remembered.
var ErrReleaseFailed = errors.New("the release failed")

// Causes are the failures that a journal keeps by name.
func Causes() map[string]error {
	return map[string]error{"release_failed": ErrReleaseFailed, "not_agreed": ErrNotAgreed}
}

// Machine is what steps act on.
type Machine struct {
	FS       *machine.FS
	Services machine.Services
	Accounts machine.Accounts
	Programs Programs
	Prober   Prober
	Firewall Firewall
	// Registrar, Registry, Lists and LogonRights are nil where services, settings,
	// access and accounts are told by files alone.
	Registrar   machine.Registrar
	Registry    machine.Registry
	Lists       machine.AccessLists
	LogonRights machine.LogonRights
	// Relabel gives files the labels of the machine's SELinux policy; nil where
	// there is nothing to label.
	Relabel func(ctx context.Context, paths ...string) error

	// Bundle is the source of unpack_release; nil during recovery.
	Bundle *bundle.Bundle
	// SetupProgram is the path of the ss-setup to install, on this process's
	// own file system: the running one, or its engine copy during recovery.
	SetupProgram string
	// SetupSHA256 is the digest of SetupProgram where it is known already.
	SetupSHA256 string

	// PreDir takes pre-images; it is gone when the transaction has ended.
	PreDir string
	// KeepOriginals: nothing is installed yet, so what stands at our paths is somebody else's.
	KeepOriginals bool
	Offline       bool
	HealthTimeout time.Duration
	Now           func() time.Time
	Rand          io.Reader
	// Progress is told how far the running step is, in bytes or items.
	Progress func(done, total int64)
	Warn     func(message string)
	Log      *slog.Logger
	// Answers, when there are some, are what the server is set up with, in JSON. They hold
	// passwords, and are never written down. SetUpDone is told what was made.
	Answers   []byte
	SetUpDone func(made []byte)
	// Import is what import_backup imports; nil during recovery.
	Import *Import
	// Moving is the folder of a server that moves here; empty during recovery.
	Moving string
	// Removing, when set, is told of a tree before it is removed.
	Removing func(path string)
	// AtRestart, when set, is told of what waits for the next restart of the machine,
	// and what happens to it then: "is removed".
	AtRestart func(path, happens string)
	// ReplaceAtRestart has the system put one file in the place of another when the
	// machine restarts; nil where no file has to wait for that.
	ReplaceAtRestart func(from, to string) error
	// EndOwner ends the process that has a socket; nil where none may be ended.
	EndOwner func(machine.Listener) error
	// Stopped and Healthy, when set, are told when users lost and got back the service.
	Stopped, Healthy func()

	locks map[string]io.Closer
}

// Programs runs the programs of a release.
type Programs interface {
	// Run runs a program to its end. Its lines of progress go to progress; what
	// it says on failure is in the error.
	Run(ctx context.Context, c Command) error
}

// Command is one call of a release's program.
type Command struct {
	Path string
	Args []string
	// User the program runs as; empty for root.
	User     string
	Progress func(done, total int64)
	// Input is what it reads, nothing if empty.
	Input []byte
	// Line, if set, is told of each line that the program prints on standard output.
	Line func(line []byte)
}

// Health is what a service answered to a probe.
type Health struct {
	Version    string
	Generation int
	Ready      bool
	// Bindings are where the server is to serve users besides its web interface.
	Bindings []Binding
}

// Binding is a place where the server serves users, or should.
type Binding struct {
	Site string `json:"site"`
	Name string `json:"name"`
	// Address is HOST:PORT; an empty host is all addresses.
	Address   string `json:"address"`
	Listening bool   `json:"listening"`
	// Proxied: whoever connects must say first whose connection it is.
	Proxied bool   `json:"proxied,omitempty"`
	Problem string `json:"problem,omitempty"`
	// RefusedFrom are the addresses by which this machine reaches it and from which the
	// lists of its site let nobody in: a probe gets no greeting there.
	RefusedFrom []string `json:"refused_from,omitempty"`
}

// Prober asks a running service how it is.
type Prober interface {
	// Probe asks the service as generation n is configured to listen; an error
	// when it does not answer, or somebody else does.
	Probe(ctx context.Context, service string, n int) (Health, error)
	// Greets tells whether what listens at HOST:PORT says first that it speaks SSH.
	Greets(ctx context.Context, address string) error
	// AnswersOld tells whether the web interface of an older product answers at HOST:PORT.
	AnswersOld(ctx context.Context, address string) error
	// Listeners are the sockets of this machine that wait for connections, and whose.
	Listeners() ([]machine.Listener, error)
	// PortsFree tells whether nothing listens any more where the service does.
	PortsFree(ctx context.Context, service string) error
}

// Firewall opens ports of the host's own firewall.
type Firewall interface {
	// Opened tells which of the ports it lets in already.
	Opened(ctx context.Context, ports []int) ([]int, error)
	Open(ctx context.Context, ports []int) error
	Close(ctx context.Context, ports []int) error
}

func (m *Machine) progress(done, total int64) {
	if m.Progress != nil {
		m.Progress(done, total)
	}
}

func (m *Machine) warn(message string) {
	if m.Warn != nil {
		m.Warn(message)
	}
}

func (m *Machine) tellAtRestart(path, happens string) {
	if m.AtRestart != nil {
		m.AtRestart(path, happens)
	}
}

// owner looks up the numbers of an account name; root is known without asking.
func (m *Machine) owner(name string) (uid, gid int, err error) {
	if name == "" || name == "root" {
		return 0, 0, nil
	}
	return m.Accounts.Lookup(name)
}

// Kinds is every kind of step, for reading plans back.
func Kinds() txn.Kinds[*Machine] {
	kinds := txn.Kinds[*Machine]{}
	for _, make := range []func() Step{
		func() Step { return &CreateAccount{} },
		func() Step { return &RemoveAccount{} },
		func() Step { return &CreateFolder{} },
		func() Step { return &UnpackRelease{} },
		func() Step { return &SelfTest{} },
		func() Step { return &ReserveGeneration{} },
		func() Step { return &CopyStore{} },
		func() Step { return &MigrateAhead{} },
		func() Step { return &HoldStore{} },
		func() Step { return &EqualiseStore{} },
		func() Step { return &MigrateStore{} },
		func() Step { return &SnapshotStore{} },
		func() Step { return &RepairStore{} },
		func() Step { return &MakeGeneration{} },
		func() Step { return &SwitchGeneration{} },
		func() Step { return &CloseGeneration{} },
		func() Step { return &OpenGeneration{} },
		func() Step { return &WriteFile{} },
		func() Step { return &MakeProbeKey{} },
		func() Step { return &InstallSetup{} },
		func() Step { return &InstallLink{} },
		func() Step { return &InstallDefinition{} },
		func() Step { return &InstallCommand{} },
		func() Step { return &RegisterService{} },
		func() Step { return &UnregisterService{} },
		func() Step { return &ProtectFolder{} },
		func() Step { return &AllowToServe{} },
		func() Step { return &SetRegistry{} },
		func() Step { return &RemoveRegistry{} },
		func() Step { return &AddToPath{} },
		func() Step { return &RemoveFromPath{} },
		func() Step { return &ReloadServices{} },
		func() Step { return &StopServices{} },
		func() Step { return &StartServices{} },
		func() Step { return &WaitHealth{} },
		func() Step { return &SetUp{} },
		func() Step { return &RestoreLabels{} },
		func() Step { return &OpenFirewall{} },
		func() Step { return &CloseFirewall{} },
		func() Step { return &RestoreFolder{} },
		func() Step { return &WriteReceipt{} },
		func() Step { return &Collect{} },
		func() Step { return &BeginRemoval{} },
		func() Step { return &RemoveInstalled{} },
		func() Step { return &RemoveTree{} },
		func() Step { return &WriteState{} },
		func() Step { return &ForgetState{} },
		func() Step { return &ImportBackup{} },
		func() Step { return &RefreshImport{} },
		func() Step { return &KeepImported{} },
		func() Step { return &StopOld{} },
		func() Step { return &StartOld{} },
		func() Step { return &DisableServices{} },
		func() Step { return &EnableServices{} },
		func() Step { return &LeaveGeneration{} },
		func() Step { return &PackMove{} },
		func() Step { return &NoteMove{} },
		func() Step { return &PlaceFile{} },
	} {
		kinds[make().Kind()] = make
	}
	return kinds
}
