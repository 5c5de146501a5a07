package machine

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Listener is a TCP socket that waits for connections, and who has it.
type Listener struct {
	Addr netip.AddrPort
	// PID, Process and Program are empty when the socket's owner is not told:
	// a process of another container, or the kernel's own, as for NFS.
	PID     int
	Process string
	// Program is the path of the executable.
	Program string
}

// Owner says who listens, for people.
func (l Listener) Owner() string {
	switch {
	case l.PID == 0:
		return "an unknown process"
	case l.Process == "":
		return fmt.Sprintf("process %d", l.PID)
	}
	return fmt.Sprintf("%s (process %d)", l.Process, l.PID)
}

// Own tells whether the listener is a program of an installed release.
func (l Listener) Own() bool { return ownProgram(l.Program) }

// Below tells whether the listener's program lies in a folder, which may be reached by a
// link; an empty one holds nothing.
func (l Listener) Below(dir string) bool {
	if dir == "" {
		return false
	}
	if below(dir, l.Program) {
		return true
	}
	real, err := filepath.EvalSymlinks(dir)
	return err == nil && below(real, l.Program)
}

func below(dir, program string) bool {
	dir = strings.TrimRight(dir, `/\`) + string(filepath.Separator)
	return len(program) > len(dir) && strings.EqualFold(program[:len(dir)], dir)
}

// Covers tells whether connections to an address reach the listener, unless another has
// exactly that one.
func (l Listener) Covers(a netip.AddrPort) bool {
	if l.Addr.Port() != a.Port() {
		return false
	}
	listens, asked := l.Addr.Addr(), a.Addr().Unmap()
	// One of all addresses of version 6 has those of version 4 as well.
	return listens == asked || listens.IsUnspecified() && (listens.Is6() || asked.Is4())
}

// At finds who is reached at an address of this machine.
func At(listeners []Listener, a netip.AddrPort) (Listener, bool) {
	var all Listener
	var found bool
	for _, l := range listeners {
		if !l.Covers(a) {
			continue
		}
		if !l.Addr.Addr().IsUnspecified() {
			return l, true
		}
		// Who has all addresses of the version asked for comes first.
		if !found || l.Addr.Addr().Is4() == a.Addr().Unmap().Is4() {
			all, found = l, true
		}
	}
	return all, found
}

// OnPort finds who listens on a port, on whatever address. Somebody else comes
// before our own services, so that none is hidden by them.
func OnPort(listeners []Listener, port int) (Listener, bool) {
	var own Listener
	var found bool
	for _, l := range listeners {
		if int(l.Addr.Port()) != port {
			continue
		}
		if !l.Own() {
			return l, true
		}
		own, found = l, true
	}
	return own, found
}

// FreePort is the first port from first on that nobody listens on; 0 when all
// are taken.
func FreePort(listeners []Listener, first int) int {
	const last = 65535
	for port := max(first, 1); port <= last; port++ {
		if _, taken := OnPort(listeners, port); !taken {
			return port
		}
	}
	return 0
}
