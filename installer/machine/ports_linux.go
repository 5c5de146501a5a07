package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
)

// Listeners lists all TCP sockets that wait for connections in this network
// namespace. It is read from /proc: a connection attempt would be seen by
// whoever listens, and cannot tell who that is.
func Listeners() ([]Listener, error) {
	var sockets []socket
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile(path.Join(procDir, "net", table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // IPv6 is off
		}
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %w", err)
		}
		found, err := parseSockets(string(content))
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %s/net/%s: %w", procDir, table, err)
		}
		sockets = append(sockets, found...)
	}
	owners, err := socketOwners(sockets)
	if err != nil {
		return nil, fmt.Errorf("list listening ports: %w", err)
	}
	listeners := make([]Listener, 0, len(sockets))
	for _, s := range sockets {
		l := Listener{Addr: s.addr, PID: owners[s.inode]}
		if l.PID != 0 {
			l.Program = executable(l.PID)
			if stat, err := readStat(l.PID); err == nil {
				l.Process = stat.comm
			}
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// socket is one line of /proc/net/tcp.
type socket struct {
	addr  netip.AddrPort
	inode uint64
}

// parseSockets reads the listening ones of /proc/net/tcp or tcp6.
func parseSockets(table string) ([]socket, error) {
	const (
		local, state, inode = 1, 3, 9
		listening           = "0A" // TCP_LISTEN of the kernel
	)
	var found []socket
	first := true
	for line := range strings.Lines(table) {
		if first {
			first = false // the head of the table
			continue
		}
		fields := strings.Fields(line)
		if len(fields) <= inode {
			return nil, fmt.Errorf("the line %.80q is too short", line)
		}
		if fields[state] != listening {
			continue
		}
		addr, err := parseSocketAddr(fields[local])
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(fields[inode], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the line %.80q has no inode: %w", line, err)
		}
		found = append(found, socket{addr: addr, inode: number})
	}
	return found, nil
}

// parseSocketAddr reads ADDRESS:PORT in hexadecimal. The kernel prints the
// address in words of 32 bits in the machine's own byte order, the port as a
// number.
func parseSocketAddr(text string) (netip.AddrPort, error) {
	words, portText, ok := strings.Cut(text, ":")
	if !ok || len(words) != 8 && len(words) != 32 {
		return netip.AddrPort{}, fmt.Errorf("%.50q is no address", text)
	}
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%.50q is no address: %w", text, err)
	}
	raw := make([]byte, 0, 16)
	for ; words != ""; words = words[8:] {
		word, err := strconv.ParseUint(words[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%.50q is no address: %w", text, err)
		}
		raw = binary.NativeEndian.AppendUint32(raw, uint32(word))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// socketOwners finds the process of each socket. Several may hold one, as a
// server and its workers do; the oldest is named.
func socketOwners(sockets []socket) (map[uint64]int, error) {
	wanted := make(map[string]uint64, len(sockets))
	for _, s := range sockets {
		if s.inode != 0 {
			wanted["socket:["+strconv.FormatUint(s.inode, 10)+"]"] = s.inode
		}
	}
	owners := make(map[uint64]int, len(wanted))
	if len(wanted) == 0 {
		return owners, nil
	}
	all, err := pids()
	if err != nil {
		return nil, err
	}
	for _, pid := range all {
		dir := procPath(pid, "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // ended meanwhile, or another user's and this is not root
		}
		for _, fd := range fds {
			target, err := os.Readlink(path.Join(dir, fd.Name()))
			if err != nil {
				continue
			}
			if inode, ok := wanted[target]; ok && owners[inode] == 0 {
				owners[inode] = pid
			}
		}
	}
	return owners, nil
}
