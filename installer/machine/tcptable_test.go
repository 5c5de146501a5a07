package machine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

// row4 is a MIB_TCPROW_OWNER_PID as Microsoft documents it: state, local address and
// port, remote address and port, process.
func row4(addr [4]byte, port uint16, pid uint32) []byte {
	const listening = 2 // MIB_TCP_STATE_LISTEN
	row := binary.LittleEndian.AppendUint32(nil, listening)
	row = append(row, addr[:]...)
	row = append(binary.BigEndian.AppendUint16(row, port), 0xaa, 0xbb) // the upper half may hold anything
	row = append(row, make([]byte, 8)...)
	return binary.LittleEndian.AppendUint32(row, pid)
}

// row6 is a MIB_TCP6ROW_OWNER_PID: local address, scope and port, the same of the
// remote side, state, process.
func row6(addr [16]byte, port uint16, pid uint32) []byte {
	row := append(addr[:], 7, 0, 0, 0)
	row = append(binary.BigEndian.AppendUint16(row, port), 0xaa, 0xbb)
	row = append(row, make([]byte, 16+4+4)...)
	row = binary.LittleEndian.AppendUint32(row, 2)
	return binary.LittleEndian.AppendUint32(row, pid)
}

func table(rows ...[]byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(rows)))
	for _, row := range rows {
		out = append(out, row...)
	}
	return append(out, make([]byte, 100)...) // the buffer may be longer than what is in it
}

func TestTheTablesOfListeningSocketsAreReadAsDocumented(t *testing.T) {
	if rowSize4 != 24 || rowSize6 != 56 || tcpListeners != 3 {
		t.Errorf("sizes %d and %d, class %d", rowSize4, rowSize6, tcpListeners)
	}
	v4, err := parseTCP4(table(row4([4]byte{0, 0, 0, 0}, 6443, 812), row4([4]byte{127, 0, 0, 1}, 2380, 70000)))
	if err != nil {
		t.Fatal(err)
	}
	v6, err := parseTCP6(table(row6([16]byte{15: 1}, 443, 4)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Listener{
		{Addr: netip.MustParseAddrPort("0.0.0.0:6443"), PID: 812},
		{Addr: netip.MustParseAddrPort("127.0.0.1:2380"), PID: 70000},
		{Addr: netip.MustParseAddrPort("[::1]:443"), PID: 4},
	}
	if got := append(v4, v6...); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v", got)
	}
}

func TestATableThatIsCutIsRefused(t *testing.T) {
	whole := table(row4([4]byte{}, 1, 2), row4([4]byte{}, 3, 4))[:4+2*rowSize4]
	for n := range whole {
		if _, err := parseTCP4(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d were taken", n, len(whole))
		}
	}
}

func FuzzTCPTables(f *testing.F) {
	f.Add(table(row4([4]byte{127, 0, 0, 1}, 6443, 1)))
	f.Add(table(row6([16]byte{15: 1}, 6443, 1), row6([16]byte{}, 80, 4)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, table []byte) {
		for size, parse := range map[int]func([]byte) ([]Listener, error){rowSize4: parseTCP4, rowSize6: parseTCP6} {
			found, err := parse(table)
			if err == nil && len(found)*size+4 > len(table) {
				t.Errorf("%d sockets in %d bytes", len(found), len(table))
			}
			for _, l := range found {
				if !l.Addr.IsValid() {
					t.Errorf("no address: %v", l)
				}
			}
		}
	})
}
