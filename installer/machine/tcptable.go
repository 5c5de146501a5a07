package machine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// tcpListeners is TCP_TABLE_OWNER_PID_LISTENER: the sockets that wait for connections,
// with their processes.
const tcpListeners = 3

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
