package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Folders and locks of ours are closed from their first instant. The numbers are those
// that Microsoft documents.

func TestAFolderIsMadeWithItsAccessListInOneCall(t *testing.T) {
	const (
		selfRelative, protected, daclPresent = 0x8000, 0x1000, 0x0004 // SE_SELF_RELATIVE, SE_DACL_PROTECTED, SE_DACL_PRESENT
		lengthOn64Bit                        = 24
	)
	calls := 0
	err := makeFolder(`C:\x`, Folder{Passable: true}.List(), func(name *uint16, a *windows.SecurityAttributes) error {
		calls++
		control, _, err := a.SecurityDescriptor.Control()
		if err != nil {
			t.Fatal(err)
		}
		owner, _, err := a.SecurityDescriptor.Owner()
		if err != nil {
			t.Fatal(err)
		}
		if windows.UTF16PtrToString(name) != `C:\x` || a.Length != lengthOn64Bit || a.InheritHandle != 0 || owner.String() != "S-1-5-32-544" ||
			control&(selfRelative|protected|daclPresent) != selfRelative|protected|daclPresent {
			t.Errorf("%s: length %d, owner %s, control %#x", windows.UTF16PtrToString(name), a.Length, owner, control)
		}
		grants, err := grantsOf(a.SecurityDescriptor)
		want := []Grant{{"S-1-5-18", 0x1f01ff}, {"S-1-5-32-544", 0x1f01ff}, {"S-1-5-32-545", 0x1200a9}}
		if err != nil || !slices.Equal(grants, want) {
			t.Errorf("it grants %v, %v", grants, err)
		}
		return nil
	})
	if err != nil || calls != 1 {
		t.Errorf("%d calls: %v", calls, err)
	}
	if unsafe.Sizeof(windows.SecurityAttributes{}) != lengthOn64Bit {
		t.Error("SECURITY_ATTRIBUTES has another size")
	}
}

func TestAFolderThatIsThereIsNotTakenForAPrivateOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := MakePrivate(dir); err != nil {
		t.Fatal(err)
	}
	if err := MakePrivate(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	one, err := MakePrivateTemp("ss-setup-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(one)
	if why, err := Planted(&FS{}, one); why != "" || err != nil || !strings.HasPrefix(filepath.Base(one), "ss-setup-") {
		t.Errorf("%s: %s, %v", one, why, err)
	}
}

// What moves to another machine has all keys of the server, and lies where somebody says.
func TestAPrivateFolderAnywhereIsForAdministratorsAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "move")
	f := &FS{}
	if err := f.MkdirPrivate(dir); err != nil {
		t.Fatal(err)
	}
	grants, err := liveFolders{}.Grants(dir)
	if err != nil || len(grants) == 0 {
		t.Fatalf("%v, %v", grants, err)
	}
	for _, g := range grants {
		if !trusted(g.Who) && g.Rights != 0 {
			t.Errorf("%s may do %#x", g.Who, g.Rights)
		}
	}
	if err := f.MkdirPrivate(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	f.Before = func(Op, string) error { return errors.New("dead") }
	if err := f.MkdirPrivate(dir + "2"); err == nil || f.Exists(dir+"2") {
		t.Errorf("past the door: %v", err)
	}
}

func TestWhatAnAccessListAllowsIsRead(t *testing.T) {
	for list, want := range map[string][]Grant{
		"D:P(A;;GA;;;BA)(D;;GA;;;BU)":             {{"S-1-5-32-544", 0x10000000}},
		"O:BAD:(A;OICIIO;0x116;;;BU)(A;;FA;;;SY)": {{"S-1-5-32-545", 0x116}, {"S-1-5-18", 0x1f01ff}},
		"O:BAD:P": nil,
		"O:BA":    {{"S-1-1-0", 0x1f01ff}}, // without a list everybody may do everything
	} {
		d, err := windows.SecurityDescriptorFromString(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := grantsOf(d); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", list, got, err)
		}
	}
}

func TestTheLockIsForAdministratorsAndNobodyElsesIsTaken(t *testing.T) {
	d, err := windows.SecurityDescriptorFromString(lockList)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := grantsOf(d); err != nil || !slices.Equal(got, []Grant{{"S-1-5-18", 0x10000000}, {"S-1-5-32-544", 0x10000000}}) {
		t.Errorf("the list grants %v, %v", got, err)
	}
	h, err := OpenLock("ss-setup-test")
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(h)
	again, err := OpenLock("ss-setup-test")
	if err != nil {
		t.Errorf("one that is there: %v", err)
	}
	_ = windows.CloseHandle(again)
	for sid, want := range map[string]bool{"S-1-5-18": true, "S-1-5-32-544": true, "S-1-5-32-545": false, "S-1-5-21-1-2-3-1001": false} {
		if got := trusted(sid); got != want {
			t.Errorf("%s: %v", sid, got)
		}
	}
}

func TestWhoMayChangeTheMachineMustBeTheServiceManagersAndTheTokensAdministrator(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for name, c := range map[string]struct {
		asked []func() bool
		want  bool
	}{
		"both": {[]func() bool{yes, yes}, true}, "a token held back": {[]func() bool{no, yes}, false}, "the manager refuses": {[]func() bool{yes, no}, false},
	} {
		if got := privileged(c.asked...); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !Privileged() {
		t.Error("wine's user may not change its machine")
	}
}

// What the environment says is a user's to set.
func TestFoldersDoNotFollowTheEnvironment(t *testing.T) {
	t.Setenv("ProgramData", `C:\evil`)
	t.Setenv("ProgramFiles", `C:\evil`)
	t.Setenv("SystemRoot", `C:\evil`)
	for got, want := range map[string]string{
		folder(windows.FOLDERID_ProgramData, "ProgramData"): `C:\ProgramData`, folder(windows.FOLDERID_ProgramFiles, "Program Files"): `C:\Program Files`,
		strings.ToLower(systemDir()): `c:\windows`, folder(&windows.KNOWNFOLDERID{}, "Usual"): `C:\Usual`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAFileIsPrivateWhenSystemAndAdministratorsAloneHaveIt(t *testing.T) {
	for list, want := range map[string]bool{
		"O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)":                          true,
		"O:SYD:P(A;;FA;;;SY)(A;;FA;;;OW)":                          true,
		"O:BAD:P(A;;FA;;;BA)(D;;FA;;;BU)":                          true,
		"O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)": false, // as below Program Files
		"O:BAD:P(A;;FA;;;BA)(A;;0x20000;;;WD)":                     false, // whoever sees the list alone
		"O:BAD:P(A;;FA;;;BA)(A;;FA;;;S-1-5-21-1-2-3-1001)":         false,
		"O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;SY)(A;;FA;;;BA)":         false, // who may change the list
		"O:BUD:P(A;;FA;;;BA)":                                      false,
		"O:BA":                                                     false, // no list is everybody's
		"D:P(A;;FA;;;BA)":                                          false,
	} {
		d, err := windows.SecurityDescriptorFromString(list)
		if err != nil {
			t.Fatal(err)
		}
		if got := onlyPrivileged(d); got != want {
			t.Errorf("%s: %v", list, got)
		}
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if OnlyPrivileged(f) {
		t.Error("a file of a user's own is taken for one of Administrators alone")
	}
}
