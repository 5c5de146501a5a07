package machine

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	iphlpapi            = windows.NewLazySystemDLL("iphlpapi.dll")
	getExtendedTCPTable = iphlpapi.NewProc("GetExtendedTcpTable")
)

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
