package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// The numbers in these tests are those that Microsoft documents, written out, so that
// a wrong constant is found as well as a wrong call.

func TestAccessListsAreSetWithOwnerAndProtection(t *testing.T) {
	const (
		fileObject             = 1 // SE_FILE_OBJECT
		owner, dacl            = 0x1, 0x4
		protected, unprotected = 0x80000000, 0x20000000
	)
	for list, c := range map[string]struct {
		what  uint32
		owner string
	}{
		Folder{Writers: []string{"ss-server"}}.List():           {owner | dacl | protected, "S-1-5-32-544"},
		"D:AI(A;OICI;FA;;;SY)":                                  {dacl | unprotected, ""},
		"O:SYD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)": {owner | dacl | protected, "S-1-5-18"},
	} {
		called := false
		l := liveLists{nil, func(path string, kind windows.SE_OBJECT_TYPE, what windows.SECURITY_INFORMATION, o, group *windows.SID, d, sacl *windows.ACL) error {
			called = true
			sid := ""
			if o != nil {
				sid = o.String()
			}
			if path != `C:\x` || kind != fileObject || uint32(what) != c.what || sid != c.owner || group != nil || d == nil || sacl != nil {
				t.Errorf("%s: %s, kind %d, what %#x, owner %q, group %v, list %v, audit %v", list, path, kind, what, sid, group, d, sacl)
			}
			return nil
		}}
		if err := l.SetAccess(`C:\x`, list); err != nil || !called {
			t.Errorf("%s: called %v, %v", list, called, err)
		}
	}
	refused := errors.New("no")
	l := liveLists{nil, func(string, windows.SE_OBJECT_TYPE, windows.SECURITY_INFORMATION, *windows.SID, *windows.SID, *windows.ACL, *windows.ACL) error {
		return refused
	}}
	if err := l.SetAccess(`C:\x`, Folder{}.List()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if err := l.SetAccess(`C:\x`, "nonsense"); err == nil || errors.Is(err, refused) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestAnOwnerWhoIsSomebodyElseIsSetWithTheRightToRestore(t *testing.T) {
	const invalidOwner = windows.Errno(1307) // ERROR_INVALID_OWNER
	may, sets := false, 0
	l := liveLists{mayGiveAway, func(string, windows.SE_OBJECT_TYPE, windows.SECURITY_INFORMATION, *windows.SID, *windows.SID, *windows.ACL, *windows.ACL) error {
		if sets++; !may {
			return invalidOwner
		}
		return nil
	}}
	if err := l.SetAccess(`C:\x`, "O:BUD:PAI(A;;FA;;;SY)"); !errors.Is(err, invalidOwner) || sets != 2 {
		t.Errorf("set %d times: %v", sets, err)
	}
	l.giveAway = func() error { may = true; return nil }
	if err := l.SetAccess(`C:\x`, "O:BUD:PAI(A;;FA;;;SY)"); err != nil || sets != 4 {
		t.Errorf("set %d times: %v", sets, err)
	}
}

// The errors of the service manager.
const (
	serviceDisabled  = windows.Errno(1058) // ERROR_SERVICE_DISABLED
	serviceUnknown   = windows.Errno(1060) // ERROR_SERVICE_DOES_NOT_EXIST
	serviceNoLogon   = windows.Errno(1069) // ERROR_SERVICE_LOGON_FAILED
	markedForDelete  = windows.Errno(1072) // ERROR_SERVICE_MARKED_FOR_DELETE
	sharingViolation = windows.Errno(32)   // ERROR_SHARING_VIOLATION
)

func TestErrorsOfTheServiceManagerAreToldWithTheirCure(t *testing.T) {
	for err, want := range map[error]string{
		serviceDisabled: "an administrator has disabled it", serviceUnknown: "ss-setup install --repair",
		serviceNoLogon: "account and password in the Services window", markedForDelete: "close the Services window",
	} {
		if got := explain(err); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%d is told as %v", err, got)
		}
	}
}

func TestAnEntryThatIsBeingDeletedIsWaitedFor(t *testing.T) {
	calls := 0
	if err := whileMarked(t.Context(), time.Minute, func() error {
		if calls++; calls < 3 {
			return markedForDelete
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("made at call %d: %v", calls, err)
	}
	calls = 0
	if err := whileMarked(t.Context(), time.Minute, func() error { calls++; return serviceDisabled }); !errors.Is(err, serviceDisabled) || calls != 1 {
		t.Errorf("another error at call %d: %v", calls, err)
	}
	if err := whileMarked(t.Context(), 0, func() error { return markedForDelete }); !errors.Is(err, markedForDelete) {
		t.Errorf("at the end of patience: %v", err)
	}
}

func TestAnEntryThatStaysMarkedIsToldWithItsCure(t *testing.T) {
	calls := 0
	if err := untilGone(t.Context(), time.Minute, func() error {
		if calls++; calls < 3 {
			return nil
		}
		return serviceUnknown
	}); err != nil || calls != 3 {
		t.Errorf("gone at call %d: %v", calls, err)
	}
	if err := untilGone(t.Context(), 0, func() error { return markedForDelete }); !errors.Is(err, markedForDelete) || !strings.Contains(err.Error(), "restart the machine") {
		t.Errorf("at the end of patience: %v", err)
	}
}

func TestAServiceIsTakenForWhatItsStartAndStateSay(t *testing.T) {
	const (
		automatic, byHand, disabled = 2, 3, 4 // SERVICE_AUTO_START, _DEMAND_START, _DISABLED
		stopped, running            = 1, 4    // SERVICE_STOPPED, _RUNNING
		neverStarted, specific      = 1077, 1066
	)
	for name, c := range map[string]struct {
		status windows.SERVICE_STATUS_PROCESS
		start  uint32
		want   ServiceState
	}{
		"runs":            {windows.SERVICE_STATUS_PROCESS{CurrentState: running, ProcessId: 7}, automatic, ServiceState{Installed: true, Enabled: true, Active: true, PID: 7}},
		"by hand":         {windows.SERVICE_STATUS_PROCESS{CurrentState: stopped}, byHand, ServiceState{Installed: true}},
		"disabled":        {windows.SERVICE_STATUS_PROCESS{CurrentState: stopped}, disabled, ServiceState{Installed: true, Masked: true}},
		"never started":   {windows.SERVICE_STATUS_PROCESS{CurrentState: stopped, Win32ExitCode: neverStarted}, automatic, ServiceState{Installed: true, Enabled: true}},
		"failed":          {windows.SERVICE_STATUS_PROCESS{CurrentState: stopped, Win32ExitCode: specific, ServiceSpecificExitCode: 3}, automatic, ServiceState{Installed: true, Enabled: true, Failed: true}},
		"ended as it may": {windows.SERVICE_STATUS_PROCESS{CurrentState: stopped, Win32ExitCode: specific}, automatic, ServiceState{Installed: true, Enabled: true}},
	} {
		if got := stateOf(c.status, c.start); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestALockedFileIsTriedAgainForAWhile(t *testing.T) {
	calls := 0
	if err := patiently(time.Minute, func() error {
		if calls++; calls < 3 {
			return sharingViolation
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("done at call %d: %v", calls, err)
	}
	if err := patiently(0, func() error { return sharingViolation }); !errors.Is(err, ErrLocked) || !errors.Is(err, sharingViolation) {
		t.Errorf("at the end of patience: %v", err)
	}
	if lockedPatience != 30*time.Second {
		t.Errorf("the patience is %v", lockedPatience)
	}
}

// fakeRegistry knows the values of some keys.
type fakeRegistry map[string]map[string]Value

func (r fakeRegistry) Read(key string) (map[string]Value, error) {
	if values, ok := r[key]; ok {
		return values, nil
	}
	return nil, fs.ErrNotExist
}

func (fakeRegistry) Write(string, map[string]Value) error { return errors.ErrUnsupported }
func (fakeRegistry) Remove(string, ...string) error       { return errors.ErrUnsupported }
func (fakeRegistry) RemoveKey(string) error               { return errors.ErrUnsupported }
func (fakeRegistry) Announce()                            {}

func TestPortsAreOpenedAndClosedByOneRuleEach(t *testing.T) {
	var ran []string
	rules := map[string]bool{}
	run := func(_ context.Context, argv ...string) (string, error) {
		line := strings.Join(argv, " ")
		ran = append(ran, line)
		name, _, _ := strings.Cut(argv[5], "\n")
		switch {
		case argv[3] == "add":
			rules[name] = true
		case !rules[name]:
			return "", errors.New("exit status 1")
		case argv[3] == "delete":
			delete(rules, name)
		}
		return strings.TrimPrefix(name, "name="), nil
	}
	const profile = `HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\PublicProfile`
	w, err := findFirewall(fakeRegistry{profile: {"EnableFirewall": {Type: RegNumber, Number: 1}}}, run)
	if err != nil || w.Kind != WindowsFirewall {
		t.Fatalf("%+v, %v", w, err)
	}
	for _, do := range []func() error{
		func() error { return w.Open(t.Context(), []int{6443}) },
		func() error { return w.Open(t.Context(), []int{6443}) },
		func() error { return w.Close(t.Context(), []int{6443}) },
		func() error { return w.Close(t.Context(), []int{6443}) },
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	const netsh = "netsh advfirewall firewall "
	const show = netsh + "show rule name=SS Server TCP 6443"
	want := []string{
		show, netsh + "add rule name=SS Server TCP 6443 dir=in action=allow protocol=TCP localport=6443",
		show, show, netsh + "delete rule name=SS Server TCP 6443", show,
	}
	if fmt.Sprint(ran) != fmt.Sprint(want) {
		t.Errorf("ran\n%s", strings.Join(ran, "\n"))
	}
	if got := w.OpenCommands([]int{6443}); len(got) != 1 ||
		got[0] != `powershell -Command "New-NetFirewallRule -DisplayName 'SS Server TCP 6443' -Direction Inbound -Protocol TCP -LocalPort 6443 -Action Allow"` {
		t.Errorf("the command is %q", got)
	}
}

func TestAFirewallThatIsOffIsNone(t *testing.T) {
	off := map[string]Value{"EnableFirewall": {Type: RegNumber}}
	for name, r := range map[string]fakeRegistry{"no keys": {}, "off": {firewallProfiles + "DomainProfile": off, firewallProfiles + "PublicProfile": off}} {
		w, err := findFirewall(r, nil)
		if err != nil || w.Kind != "" {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}
