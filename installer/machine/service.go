package machine

import (
	"context"
	"io/fs"
	"strings"
)

// The services of an installation.
const (
	ServerService   = "ss-server"
	LicensedService = "ss-licensed"
)

// Services is the machine's service manager. What it keeps on disk - definitions
// and the links that enable them - is told as data, so that the caller can write
// it step by step and take it back; only running processes are controlled here.
type Services interface {
	// Name is systemd, openrc or sysv.
	Name() string
	// Definition tells where a service's definition goes and what enables it.
	Definition(service string) Definition
	// Reload makes the manager read changed definitions; nothing where it does so by itself.
	Reload(ctx context.Context) error
	// Start starts a service and returns when the manager says it runs.
	// Starting one that runs is no error; one that is unknown or masked is.
	Start(ctx context.Context, service string) error
	// Stop ends a service and returns when no process of it is left; it is
	// bounded and kills at the end. Stopping one that is stopped or unknown is no error.
	Stop(ctx context.Context, service string) error
	// State asks about a service. An unknown service is not an error.
	State(ctx context.Context, service string) (ServiceState, error)
	// Find names the services whose names begin with prefix, in order, whether they run
	// or not: those of another product, of which no list is known.
	Find(ctx context.Context, prefix string) ([]string, error)
	// StartLinks are the links by which a service starts with the machine, as they lie
	// there, whoever made them; none where the manager keeps no files.
	StartLinks(service string) ([]Link, error)
	// Starters name what starts the service besides its links: timers, sockets, other units
	// that want it and are in force. unlinked: its links have just been removed, which the
	// manager may not know; else those that want it by such a link may be among them.
	Starters(ctx context.Context, service string, unlinked bool) ([]string, error)
	// Detach runs a program that outlives this process, its terminal and its
	// login, and is started again when it dies of a signal. The program must be
	// this one or a copy of it: where the manager cannot watch over it, it is
	// called with the verb SuperviseVerb. One of the same name is ended first.
	Detach(ctx context.Context, name string, argv, env []string) error
	// EndDetached ends what Detach, or the boot job of that name, started; nothing
	// there is no error. The program itself may call it: it is left alone then.
	EndDetached(ctx context.Context, name string) error
	// BootJob tells the files and links that make a program run once at every boot,
	// beside the services and never before them, held up by and holding up
	// nothing. When the program is not there, the job tidies up and removes itself.
	BootJob(j BootJob) Definition
}

// BootJob is a program to run at every boot as long as its definition is there,
// and what goes when a boot finds that there is nothing to run it for.
type BootJob struct {
	Name string
	Argv []string
	// Note is one line that the definition carries for whoever finds it.
	Note string
	// Files and Folders, the topmost first, go before the job does: the folders as
	// long as nothing is in them.
	Files, Folders []string
	// JobFolders go with the job in the same way.
	JobFolders []string
	// Mounts are where the program and the transaction lie. Unless all of them are
	// mounted, a boot can tell nothing and leaves everything to the next.
	Mounts []string
}

// noteMark begins the line that carries a boot job's note: a comment to every
// service manager.
const noteMark = "# ss-setup: "

// BootJobNote is the note in the definition of a boot job; empty when it has none.
func BootJobNote(definition []byte) string {
	for line := range strings.Lines(string(definition)) {
		if note, ok := strings.CutPrefix(line, noteMark); ok {
			return strings.TrimSuffix(note, "\n")
		}
	}
	return ""
}

// Definition is a service definition as files.
type Definition struct {
	// Source is the template's path in the release folder; empty when Content is set.
	Source string
	// Content of the file where it is known already.
	Content []byte
	Path    string
	Mode    fs.FileMode
	// Enable are the links that start the service at boot.
	Enable []Link
}

// Link is a symbolic link.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// ServiceState is what the manager knows of a service.
type ServiceState struct {
	Installed bool `json:"installed"`
	Enabled   bool `json:"enabled"`
	Active    bool `json:"active"`
	// Failed: it should run and does not, for reasons of its own.
	Failed bool `json:"failed,omitempty"`
	// Masked: an administrator forbade it to start.
	Masked bool `json:"masked,omitempty"`
	PID    int  `json:"pid,omitempty"`
}

// Accounts are the system accounts of the machine, or of the image below a root.
type Accounts interface {
	// Lookup tells an account's numbers; fs.ErrNotExist when there is none.
	Lookup(name string) (uid, gid int, err error)
	// LookupID tells the names for numbers; the number itself where there is none.
	LookupID(uid, gid int) (user, group string)
	// HasGroup tells whether the machine's own files have a group of that name.
	HasGroup(name string) (bool, error)
	// Create makes a locked system account with a group of the same name,
	// no shell and the given home (not created). One that exists is left alone;
	// created tells. Safe to repeat after being cut anywhere.
	Create(ctx context.Context, name, home string) (created bool, err error)
	// Remove takes the account away and, unless keepGroup, the group of its name;
	// nothing there is no error.
	Remove(ctx context.Context, name string, keepGroup bool) error
}
