package machine

import (
	"fmt"
	"net/netip"
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
