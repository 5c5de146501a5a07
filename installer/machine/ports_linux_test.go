package machine

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// The tables of a little-endian machine, as all that a release is made for are.
const (
	tcpHead  = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	tcpTable = tcpHead +
		"   0: 0100007F:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11111 1 0000000000000000 100 0 0 10 0\n" +
		"   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22222 1 0000000000000000 100 0 0 10 0\n" +
		"   2: 0100007F:0016 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 33333 1 0000000000000000 100 0 0 10 0\n"
	tcp6Table = tcpHead +
		"   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   999 0 44444 1\n" +
		"   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   999 0 55555 1\n" +
		"   2: B80D01200000000067452301EFCDAB89:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   999 0 66666 1\n"
)

func TestListeningSocketsAreReadFromTheKernelsTables(t *testing.T) {
	got, err := parseSockets(tcpTable)
	check(t, err)
	six, err := parseSockets(tcp6Table)
	check(t, err)
	want := []socket{
		{netip.MustParseAddrPort("127.0.0.1:2380"), 11111},
		{netip.MustParseAddrPort("0.0.0.0:22"), 22222},
		{netip.MustParseAddrPort("[::]:6443"), 44444},
		{netip.MustParseAddrPort("127.0.0.1:80"), 55555},
		{netip.MustParseAddrPort("[2001:db8:0:0:123:4567:89ab:cdef]:8080"), 66666},
	}
	if got = append(got, six...); !slices.Equal(got, want) {
		t.Errorf("sockets are %v, want %v", got, want)
	}
	for _, line := range []string{"x\n", strings.Replace(tcpTable, "0100007F:094C", "0100007F", 1), strings.Replace(tcpTable, "11111", "x", 1)} {
		if _, err := parseSockets(tcpHead + line); err == nil && line != tcpTable {
			t.Errorf("%q was understood", line)
		}
	}
}

func FuzzSockets(f *testing.F) {
	f.Add(tcpTable)
	f.Add(tcp6Table)
	f.Add(tcpHead + "0: 0100007G:0050 0:0 0A a b c d e 1\n")
	f.Fuzz(func(t *testing.T, table string) {
		found, err := parseSockets(table)
		if err != nil && found != nil {
			t.Fatal("sockets beside an error")
		}
		for _, s := range found {
			if !s.addr.Addr().IsValid() {
				t.Fatalf("socket %v", s)
			}
		}
	})
}

func TestListenersNameTheirProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	listeners, err := Listeners()
	check(t, err)
	found, ok := OnPort(listeners, int(addr.Port()))
	if !ok || found.PID != os.Getpid() || found.Addr != addr {
		t.Fatalf("found %+v, %v", found, ok)
	}
	exe, err := os.Executable()
	check(t, err)
	if found.Program != exe || !strings.HasPrefix(exe, "/") || found.Own() {
		t.Errorf("program is %s", found.Program)
	}
	if want := found.Process + " (process "; !strings.HasPrefix(found.Owner(), want) {
		t.Errorf("owner is %s", found.Owner())
	}
	if free := FreePort(listeners, int(addr.Port())); free == int(addr.Port()) || free == 0 {
		t.Errorf("free port is %d", free)
	}
}

func TestOthersOnAPortComeBeforeOurOwn(t *testing.T) {
	own := Listener{Addr: netip.MustParseAddrPort("[::]:6443"), PID: 2, Program: ReleasesDir + "/7.0.0-abcdef12/bin/ss-server"}
	other := Listener{Addr: netip.MustParseAddrPort("10.0.0.1:6443"), PID: 1, Program: "/usr/sbin/nginx"}
	if got, ok := OnPort([]Listener{own, other}, 6443); !ok || got != other {
		t.Errorf("found %+v", got)
	}
	if got, ok := OnPort([]Listener{own}, 6443); !ok || !got.Own() {
		t.Errorf("found %+v", got)
	}
	if _, ok := OnPort([]Listener{own}, 22); ok {
		t.Error("found somebody on a free port")
	}
	if got := (Listener{}).Owner(); got != "an unknown process" {
		t.Errorf("owner is %s", got)
	}
}

func TestAddressesAreThoseOthersCanReach(t *testing.T) {
	found, err := Addresses()
	check(t, err)
	for _, a := range found {
		if !isReachable(a) {
			t.Errorf("%s is listed", a)
		}
	}
	for text, want := range map[string]bool{"127.0.0.1": false, "fe80::1": false, "10.0.0.1": true, "2001:db8::1": true, "::": false, "224.0.0.1": false} {
		if got := isReachable(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if !isInner("docker0") || isInner("eth0") {
		t.Error("inner interfaces are not told apart")
	}
}
