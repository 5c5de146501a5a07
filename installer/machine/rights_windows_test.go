package machine

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fakePolicy remembers who has which rights. The numbers are those that Microsoft
// documents.
type fakePolicy struct {
	t     *testing.T
	holds map[string][]string
}

const (
	nothingFound = windows.NTStatus(0xc0000034) // STATUS_OBJECT_NAME_NOT_FOUND
	accessDenied = windows.NTStatus(0xc0000022) // STATUS_ACCESS_DENIED
)

func (f fakePolicy) rights(account *windows.SID) ([]string, windows.NTStatus) {
	if held := f.holds[account.String()]; len(held) > 0 {
		return held, 0
	}
	return nil, nothingFound
}

// name is what a counted string in memory holds.
func (f fakePolicy) name(right *lsaString) string {
	if unsafe.Sizeof(*right) != 16 || right.length != 38 || right.capacity < right.length {
		f.t.Errorf("LSA_UNICODE_STRING: %+v", *right)
	}
	return right.String()
}

func (f fakePolicy) add(account *windows.SID, right *lsaString) windows.NTStatus {
	if account.String() == "S-1-5-18" {
		return accessDenied
	}
	f.holds[account.String()] = append(f.holds[account.String()], f.name(right))
	return 0
}

func (f fakePolicy) remove(account *windows.SID, right *lsaString) windows.NTStatus {
	held := f.holds[account.String()]
	if len(held) == 0 {
		return nothingFound
	}
	name := f.name(right)
	f.holds[account.String()] = slices.DeleteFunc(held, func(r string) bool { return r == name })
	return 0
}

func TestTheRightToLogOnAsAServiceIsGivenAndTaken(t *testing.T) {
	const sftp = "S-1-5-21-1-2-3-1604"
	f := fakePolicy{t, map[string][]string{sftp: {"SeBatchLogonRight"}}}
	l := logonRights{
		with: func(do func(policy) error) error { return do(f) },
		lookup: func(account string) (*windows.SID, error) {
			sid, known := map[string]string{`CORP\sftp$`: sftp, "SYSTEM": "S-1-5-18", `CORP\none$`: "S-1-5-21-1-2-3-9"}[account]
			if !known {
				return nil, fs.ErrNotExist
			}
			return windows.StringToSid(sid)
		},
	}
	may := func(account string, want bool) {
		t.Helper()
		if got, err := l.MayServe(account); err != nil || got != want {
			t.Errorf("%s may serve: %v, %v", account, got, err)
		}
	}
	may(`CORP\sftp$`, false)
	may(`CORP\none$`, false)
	if err := l.AllowToServe(`CORP\sftp$`); err != nil || !slices.Equal(f.holds[sftp], []string{"SeBatchLogonRight", "SeServiceLogonRight"}) {
		t.Errorf("%v, %v", f.holds, err)
	}
	may(`CORP\sftp$`, true)
	for range 2 {
		if err := l.ForbidToServe(`CORP\sftp$`); err != nil || !slices.Equal(f.holds[sftp], []string{"SeBatchLogonRight"}) {
			t.Errorf("%v, %v", f.holds, err)
		}
	}
	if err := l.ForbidToServe(`CORP\none$`); err != nil {
		t.Error(err)
	}
	if err := l.AllowToServe("SYSTEM"); !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		t.Errorf("refused: %v", err)
	}
	if err := l.AllowToServe("nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no account: %v", err)
	}
}

func TestThePolicyOfTheMachineIsOpenedAsDocumented(t *testing.T) {
	if policyCreateAccount|policyLookupNames != 0x810 || unsafe.Sizeof(lsaAttributes{}) != 48 {
		t.Errorf("access %#x, attributes of %d bytes", policyCreateAccount|policyLookupNames, unsafe.Sizeof(lsaAttributes{}))
	}
	called := false
	if err := withPolicy(func(policy) error { called = true; return nil }); err != nil || !called {
		t.Errorf("called %v, %v", called, err)
	}
}

func TestAnAccountThatIsNotThereIsToldByItsName(t *testing.T) {
	accounts := virtualAccounts{}
	for name, there := range map[string]bool{`NT SERVICE\ss-server`: true, `NT AUTHORITY\LocalService`: true, "ss-server": true, `NOWHERE\none$`: false, "none$": false} {
		if _, _, err := accounts.Lookup(name); errors.Is(err, fs.ErrNotExist) == there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A group managed account has no password that anybody knows.
func TestAServiceIsRegisteredUnderAManagedAccountWithoutPassword(t *testing.T) {
	const (
		changeAndStart = 0x2 | 0x10 // SERVICE_CHANGE_CONFIG, SERVICE_START
		ownProcess     = 0x10       // SERVICE_WIN32_OWN_PROCESS
		automatic      = 2          // SERVICE_AUTO_START
		normal         = 1          // SERVICE_ERROR_NORMAL
	)
	for _, account := range []string{`CORP\sftp$`, `NT SERVICE\ss-server`} {
		calls := 0
		r := Registration{Service: "ss-server", DisplayName: "SS Server", Command: `"C:\a b\ss-server.exe" run`, Account: account, Start: StartAtBoot}
		h, err := newEntry(7, r, func(manager windows.Handle, name, display *uint16, access, kind, start, onError uint32, path, group *uint16, tag *uint32, depends, user, password *uint16) (windows.Handle, error) {
			calls++
			if manager != 7 || access != changeAndStart || kind != ownProcess || start != automatic || onError != normal || group != nil || tag != nil || depends != nil {
				t.Errorf("access %#x, type %#x, start %d, on error %d", access, kind, start, onError)
			}
			if windows.UTF16PtrToString(name) != "ss-server" || windows.UTF16PtrToString(display) != "SS Server" ||
				windows.UTF16PtrToString(path) != r.Command || windows.UTF16PtrToString(user) != account || password != nil {
				t.Errorf("%s, password %v", windows.UTF16PtrToString(user), password)
			}
			return 9, nil
		})
		if h != 9 || err != nil || calls != 1 {
			t.Errorf("%d after %d calls: %v", h, calls, err)
		}
	}
}
