package local

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files of others")
	}
}

// inTmp is a folder that everybody may reach.
func inTmp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "access-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestWhatTheServersAccountMayNotUseIsToldWithTheCure(t *testing.T) {
	needsRoot(t)
	const uid, gid = 4321, 4322
	a := account{name: "ss-server", uid: uid, gids: []int64{gid}}
	for name, c := range map[string]struct {
		make func(dir string) error
		why  string
	}{
		"everybody may":            {func(dir string) error { return os.Chmod(dir, 0o777) }, ""},
		"it is its own":            {func(dir string) error { return errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, uid, 0)) }, ""},
		"its group may":            {func(dir string) error { return errors.Join(os.Chmod(dir, 0o770), os.Chown(dir, 0, gid)) }, ""},
		"root alone may write":     {func(dir string) error { return os.Chmod(dir, 0o755) }, "may not read and write"},
		"its group may not, alone": {func(dir string) error { return errors.Join(os.Chmod(dir, 0o707), os.Chown(dir, 0, gid)) }, "may not read and write"},
		"a home of root": {func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777), os.Mkdir(filepath.Join(dir, "anna"), 0o700))
		}, "may not use everything"},
		"a file of root": {func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600))
		}, "may not use everything"},
		"a file that it may read": {func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "letter"), nil, 0o644))
		}, ""},
		"the folder above is closed": {func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o700))
		}, "may not enter"},
	} {
		above := inTmp(t)
		dir := filepath.Join(above, "files of users")
		if err := errors.Join(os.Chmod(above, 0o755), os.Mkdir(dir, 0o755), c.make(dir)); err != nil {
			t.Fatal(err)
		}
		why, cure := a.problem(dir)
		if (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q", name, why)
		}
		if want := "setfacl -R -m u:ss-server:rwX,d:u:ss-server:rwX '" + dir + "'"; why != "" && !strings.HasSuffix(cure, want) {
			t.Errorf("%s: the cure is %q", name, cure)
		}
	}
}

// TestTheAccountThatIsYetToBeMadeIsOneOfTheOthers: the dry run comes before it.
func TestTheAccountThatIsYetToBeMadeIsOneOfTheOthers(t *testing.T) {
	dir := inTmp(t)
	f := Access("no-such-account-here")
	for mode, may := range map[os.FileMode]bool{0o777: true, 0o770: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if why, _ := f(dir); (why == "") != may {
			t.Errorf("%o: %q", mode, why)
		}
	}
	if Access("root") != nil || Access("") != nil {
		t.Error("root, or nobody, is asked about")
	}
	if why, _ := f(filepath.Join(dir, "gone")); why != "" {
		t.Errorf("of what is not there: %q", why)
	}
}

// acl is an access list as the kernel keeps it.
func acl(entries ...aclEntry) []byte {
	raw := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		raw = binary.LittleEndian.AppendUint16(raw, e.tag)
		raw = binary.LittleEndian.AppendUint16(raw, e.rights)
		raw = binary.LittleEndian.AppendUint32(raw, e.id)
	}
	return raw
}

func TestAnAccessListIsReadAsTheKernelDoes(t *testing.T) {
	needsRoot(t)
	const uid, gid, none = 4321, 4322, 0xffffffff
	a := account{name: "ss-server", uid: uid, gids: []int64{gid}}
	base := []aclEntry{{aclOwner, 7, none}}
	rest := func(mask uint16) []aclEntry { return []aclEntry{{aclMask, mask, none}, {aclOthers, 0, none}} }
	group := aclEntry{aclOwningGroup, 0, none}
	for name, c := range map[string]struct {
		list []aclEntry
		may  bool
	}{
		"its own entry":              {append(append(base, aclEntry{aclUser, 7, uid}, group), rest(7)...), true},
		"its own entry, masked":      {append(append(base, aclEntry{aclUser, 7, uid}, group), rest(5)...), false},
		"another's entry":            {append(append(base, aclEntry{aclUser, 7, uid + 1}, group), rest(7)...), false},
		"its group's entry":          {append(append(base, group, aclEntry{aclGroup, 7, gid}), rest(7)...), true},
		"its own before its group's": {append(append(base, aclEntry{aclUser, 1, uid}, group, aclEntry{aclGroup, 7, gid}), rest(7)...), false},
	} {
		dir := filepath.Join(inTmp(t), "x")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setxattr(dir, "system.posix_acl_access", acl(c.list...), 0); err != nil {
			t.Skip("this file system has no access lists: ", err)
		}
		if got := a.may(dir, wholly); got != c.may {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 0})
	f.Add(acl(aclEntry{aclOwner, 7, 0}, aclEntry{aclMask, 5, 0}, aclEntry{aclOthers, 0, 0}))
	f.Add(acl(aclEntry{aclUser, 7, 4321})[:9])
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, ok := parseACL(raw)
		if ok && len(entries)*8+4 != len(raw) || !ok && entries != nil {
			t.Errorf("%d entries of %d bytes, %v", len(entries), len(raw), ok)
		}
		_ = account{uid: 1, gids: []int64{2}}.byACL(entries, 3, 4, wholly)
	})
}
