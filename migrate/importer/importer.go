// Package importer is what all importers of old configurations have in common: what they
// are given, what they give, and in which order. An importer of another product implements
// Source and has itself listed in package migrate.
package importer

import (
	"cmp"
	"context"
	"io"
	"net/netip"
	"runtime"
	"time"

	"ss-setup/migrate/report"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
)

// Source is an old configuration that was opened and recognised.
type Source interface {
	// About tells what it is.
	About() report.Source
	// Import gives every object to a Taker, what others refer to before those, and tells
	// the report of everything that the source has. It changes nothing but these, may be
	// called again, and gives the same again but for keys that it makes.
	//
	// Errors are those of the source (archive.ErrDamaged and others), of the Taker, and
	// of ctx. Whoever gets one throws away what was given before.
	Import(ctx context.Context, o Options, to Taker, r *report.Report) error
	// Close lets go of the file.
	Close() error
}

// Taker takes objects.
type Taker interface {
	// Take takes an object and may change and keep it. An object that cannot be is a
	// *model.InvalidError; any other error ends the import.
	Take(model.Object) error
}

// Options are what an import knows of the machine that it is for.
type Options struct {
	// Node is the name of this machine's node. If it is empty the node of the source, or
	// NewNode, is taken.
	Node string
	// NewNode names a node where neither the machine nor the source has one.
	NewNode string
	// SourceNode is the node of the source whose place this machine takes, as the source
	// calls it; where it is empty names tell.
	SourceNode string
	// HostKeys are those that the machine has for a site: a key that an import before
	// this one made is not made again.
	HostKeys func(site string) []*model.HostKey
	// SuperAdmin tells whether the machine has a SuperAdmin of a name, who then stays; nil
	// is a machine without any. With TakeSuperAdmins those of the source come in their place.
	SuperAdmin      func(name string) bool
	TakeSuperAdmins bool
	// OS is the system that the import is for, as runtime.GOOS has it; this one if empty.
	OS string
	// Folder tells whether a folder of the machine is there, Addresses are the machine's.
	// Where they are nil nobody compares.
	Folder    func(path string) bool
	Addresses []netip.Addr
	// Bindings are where the machine listens before the import.
	Bindings []*model.Binding
	// Own says why no VFS may lie in a folder of this machine: it is the server's own, or
	// above one. nil asks nobody.
	Own func(path string) error
	// Access says why the account that the server runs as may not use a folder of this
	// machine with what is in it, and what to do; "" where it may. nil asks nobody.
	Access func(path string) (why, cure string)
	// Empty says why nobody is let into a folder of this machine that has nothing in it, and
	// what to do; "" where it has. nil asks nobody.
	Empty func(path string) (why, cure string)
	// Files is the folder in which VFSs have their usual place; others are told.
	Files string
	// Weak are host keys whose private half everybody knows.
	Weak *hostkey.Denylist
	// Passwords are tried at PFX certificates and encrypted keys.
	Passwords []string
	// UserLimit is what the edition allows, 0 for no bound, Edition its name.
	UserLimit int
	Edition   string
	// Now and Random are the clock and the source of chance; nil are the machine's.
	Now    func() time.Time
	Random io.Reader
}

// Time is the present moment.
func (o Options) Time() time.Time {
	if o.Now == nil {
		return time.Now().UTC()
	}
	return o.Now().UTC()
}

// Windows tells whether the import is for that system.
func (o Options) Windows() bool { return cmp.Or(o.OS, runtime.GOOS) == "windows" }

// Discard takes objects, says whether they could be, and forgets them: a dry run.
type Discard struct{}

// Take implements Taker.
func (Discard) Take(o model.Object) error {
	o.Normalize()
	return o.Validate()
}
