package machine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	iphlpapi            = windows.NewLazySystemDLL("iphlpapi.dll")
	getExtendedTCPTable = iphlpapi.NewProc("GetExtendedTcpTable")
)

// tcpListeners is TCP_TABLE_OWNER_PID_LISTENER.
const tcpListeners = 3

// Listeners lists all TCP sockets that wait for connections, and whose they are.
func Listeners() ([]Listener, error) {
	var found []Listener
	for family, parse := range map[uint32]func([]byte) ([]Listener, error){
		windows.AF_INET: parseTCP4, windows.AF_INET6: parseTCP6,
	} {
		table, err := tcpTable(family)
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %w", err)
		}
		listeners, err := parse(table)
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %w", err)
		}
		found = append(found, listeners...)
	}
	for i := range found {
		if found[i].Program = programOf(uint32(found[i].PID)); found[i].Program != "" {
			found[i].Process = filepath.Base(found[i].Program)
		}
	}
	return found, nil
}

func tcpTable(family uint32) ([]byte, error) {
	size := uint32(16 << 10)
	for {
		table := make([]byte, size)
		code, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&size)), 0, uintptr(family), tcpListeners, 0)
		switch windows.Errno(code) {
		case windows.ERROR_SUCCESS:
			return table, nil
		case windows.ERROR_INSUFFICIENT_BUFFER:
		default:
			return nil, windows.Errno(code)
		}
	}
}

// The rows of the tables: MIB_TCPROW_OWNER_PID and MIB_TCP6ROW_OWNER_PID. Ports
// are in the network's byte order in the lower half of their field.
const (
	rowSize4 = 6 * 4
	rowSize6 = 16 + 4 + 4 + 16 + 4 + 4 + 4 + 4
)

func rows(table []byte, size int) ([][]byte, error) {
	if len(table) < 4 {
		return nil, fmt.Errorf("the table of sockets has %d bytes", len(table))
	}
	n := int(binary.LittleEndian.Uint32(table))
	if n > (len(table)-4)/size {
		return nil, fmt.Errorf("the table of sockets has %d bytes for %d sockets", len(table), n)
	}
	found := make([][]byte, n)
	for i := range found {
		found[i] = table[4+i*size : 4+(i+1)*size]
	}
	return found, nil
}

func parseTCP4(table []byte) ([]Listener, error) {
	found, err := rows(table, rowSize4)
	if err != nil {
		return nil, err
	}
	listeners := make([]Listener, 0, len(found))
	for _, r := range found {
		addr := netip.AddrFrom4([4]byte(r[4:8]))
		listeners = append(listeners, Listener{
			Addr: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(r[8:10])), PID: int(binary.LittleEndian.Uint32(r[20:24])),
		})
	}
	return listeners, nil
}

func parseTCP6(table []byte) ([]Listener, error) {
	found, err := rows(table, rowSize6)
	if err != nil {
		return nil, err
	}
	listeners := make([]Listener, 0, len(found))
	for _, r := range found {
		addr := netip.AddrFrom16([16]byte(r[0:16])).Unmap()
		listeners = append(listeners, Listener{
			Addr: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(r[20:22])), PID: int(binary.LittleEndian.Uint32(r[52:56])),
		})
	}
	return listeners, nil
}

// programOf is the path of a process's program; empty when it is not told.
func programOf(pid uint32) string {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(h)
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if err := windows.QueryFullProcessImageName(h, 0, &name[0], &size); err != nil {
		return ""
	}
	return windows.UTF16ToString(name[:size])
}
