package machine

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const testHome = "/var/lib/ss-server"

// accountImage is a machine with the files of accounts that most have.
func accountImage(t *testing.T, changes map[string]string) *FS {
	t.Helper()
	files := map[string]string{
		passwdFile:          "root:x:0:0:root:/root:/bin/bash\nbin:x:2:2::/bin:/usr/sbin/nologin\n",
		groupFile:           "root:x:0:\nbin:x:2:\n",
		shadowFile:          "root:$6$salt$hash:19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\n",
		gshadowFile:         "root:*::\nbin:*::\n",
		"/etc/login.defs":   "# comment\nUID_MIN 1000\nGID_MIN\t1000\n",
		"/usr/sbin/nologin": "",
	}
	maps.Copy(files, changes)
	for name, text := range files {
		if text == missing {
			delete(files, name)
		}
	}
	f := image(t, files)
	for _, name := range []string{shadowFile, gshadowFile} {
		if f.Exists(name) {
			check(t, os.Chmod(f.Real(name), 0o640))
		}
	}
	return f
}

const missing = "(missing)"

func accountFiles(f *FS) map[string]string {
	found := make(map[string]string)
	for _, name := range []string{passwdFile, groupFile, shadowFile, gshadowFile} {
		if f.Exists(name) {
			found[name] = content(f, name)
		}
	}
	return found
}

func TestCreateAddsALockedAccountToAllFiles(t *testing.T) {
	f := accountImage(t, nil)
	before := accountFiles(f)
	a := NewAccounts(f)
	created, err := a.Create(t.Context(), "ss-server", testHome)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	want := map[string]string{
		passwdFile:  before[passwdFile] + "ss-server:x:999:999::/var/lib/ss-server:/usr/sbin/nologin\n",
		groupFile:   before[groupFile] + "ss-server:x:999:\n",
		shadowFile:  before[shadowFile] + "ss-server:!*:::::::\n",
		gshadowFile: before[gshadowFile] + "ss-server:!::\n",
	}
	if got := accountFiles(f); !maps.Equal(got, want) {
		t.Errorf("files are %q, want %q", got, want)
	}
	info, err := f.Lstat(shadowFile)
	check(t, err)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode of shadow is %v", info.Mode())
	}
	uid, gid, err := a.Lookup("ss-server")
	if uid != 999 || gid != 999 || err != nil {
		t.Errorf("looked up %d, %d, %v", uid, gid, err)
	}
	if user, group := a.LookupID(999, 999); user != "ss-server" || group != "ss-server" {
		t.Errorf("999 is %s, %s", user, group)
	}
	if user, group := a.LookupID(4711, 4712); user != "4711" || group != "4712" {
		t.Errorf("unknown numbers are %s, %s", user, group)
	}
}

func TestCreateLeavesAnExistingAccountAlone(t *testing.T) {
	f := accountImage(t, map[string]string{passwdFile: "root:x:0:0:root:/root:/bin/bash\nss-server:x:1234:100:mine:/home:/bin/sh\n"})
	before := accountFiles(f)
	created, err := NewAccounts(f).Create(t.Context(), "ss-server", testHome)
	if created || err != nil {
		t.Fatalf("created %v, %v", created, err)
	}
	if got := accountFiles(f); !maps.Equal(got, before) {
		t.Errorf("files are %q, were %q", got, before)
	}
}

func TestAGroupThatWasThereBeforeStaysWithItsPasswordAndMembers(t *testing.T) {
	f := accountImage(t, map[string]string{
		groupFile: "root:x:0:\nss-server:x:321:\n", gshadowFile: "root:*::\nss-server:$6$salt$hash:anna:\n",
	})
	before := accountFiles(f)
	a := NewAccounts(f)
	if has, err := a.HasGroup("ss-server"); !has || err != nil {
		t.Fatalf("the group is there: %v, %v", has, err)
	}
	if _, err := a.Create(t.Context(), "ss-server", testHome); err != nil {
		t.Fatal(err)
	}
	made := accountFiles(f)
	if made[groupFile] != before[groupFile] || made[gshadowFile] != before[gshadowFile] {
		t.Errorf("the account made of the groups %q", made)
	}
	check(t, a.Remove(t.Context(), "ss-server", true))
	if got := accountFiles(f); !maps.Equal(got, before) {
		t.Errorf("files are %q, were %q", got, before)
	}
}

func TestRemoveGivesTheFilesBackByteForByte(t *testing.T) {
	tests := map[string]map[string]string{
		"usual files":             nil,
		"no newline at the end":   {passwdFile: "root:x:0:0::/root:/bin/sh", groupFile: "root:x:0:", shadowFile: "root:!::::::::", gshadowFile: "root:*::"},
		"lines of NIS at the end": {passwdFile: "root:x:0:0::/root:/bin/sh\n+::::::\n", groupFile: "root:x:0:\n+:::\n"},
		"no shadow files":         {shadowFile: missing, gshadowFile: missing},
		"shadow without gshadow":  {gshadowFile: missing},
		"empty and broken lines":  {passwdFile: "root:x:0:0::/root:/bin/sh\n\n:::\nx\n", groupFile: "\nroot:x:0:\n\n"},
	}
	for name, changes := range tests {
		t.Run(name, func(t *testing.T) {
			f := accountImage(t, changes)
			before := accountFiles(f)
			a := NewAccounts(f)
			for _, account := range []string{"ss-server", "ss-licensed"} {
				if _, err := a.Create(t.Context(), account, testHome); err != nil {
					t.Fatal(err)
				}
			}
			if uid, _, err := a.Lookup("ss-licensed"); uid != 998 || err != nil {
				t.Errorf("the second account is %d, %v", uid, err)
			}
			// Not in the order of a stack: accounts go one by one, later.
			for _, account := range []string{"ss-server", "ss-licensed", "ss-licensed"} {
				check(t, a.Remove(t.Context(), account, false))
			}
			if got := accountFiles(f); !maps.Equal(got, before) {
				t.Errorf("files are %q, were %q", got, before)
			}
		})
	}
}

// cut makes the n-th changing call fail, and all after it, as a full disk does.
func cut(f *FS, n int) (calls func() int) {
	count := 0
	f.Before = func(Op, string) error {
		count++
		if count >= n {
			return errors.New("cut here")
		}
		return nil
	}
	return func() int { return count }
}

func TestAccountsCanBeCutAnywhereAndRepeated(t *testing.T) {
	whole := accountImage(t, nil)
	if _, err := NewAccounts(whole).Create(t.Context(), "ss-server", testHome); err != nil {
		t.Fatal(err)
	}
	before, after := accountFiles(accountImage(t, nil)), accountFiles(whole)
	for n := 1; ; n++ {
		f := accountImage(t, nil)
		a := NewAccounts(f)
		calls := cut(f, n)
		_, err := a.Create(t.Context(), "ss-server", testHome)
		reached := calls() >= n
		f.Before = nil
		if reached && err == nil {
			t.Fatalf("call %d failed and Create did not", n)
		}
		if _, err := a.Create(t.Context(), "ss-server", testHome); err != nil {
			t.Fatal(err)
		}
		if got := accountFiles(f); !maps.Equal(got, after) {
			t.Fatalf("cut at call %d and repeated, files are %q, want %q", n, got, after)
		}
		cut(f, n)
		_ = a.Remove(t.Context(), "ss-server", false)
		f.Before = nil
		check(t, a.Remove(t.Context(), "ss-server", false))
		if got := accountFiles(f); !maps.Equal(got, before) {
			t.Fatalf("removal cut at call %d and repeated, files are %q, want %q", n, got, before)
		}
		if left, err := fs.Glob(os.DirFS(f.Root), "etc/*"+TempSuffix); err != nil || len(left) > 0 {
			t.Fatalf("cut at call %d, left are %v, %v", n, left, err)
		}
		if !reached {
			return
		}
	}
}

func TestCreateLocksAPasswordThatWasLeftBehind(t *testing.T) {
	f := accountImage(t, map[string]string{shadowFile: "root:!::::::::\nss-server:$6$known$hash:19000::::::\n"})
	if _, err := NewAccounts(f).Create(t.Context(), "ss-server", testHome); err != nil {
		t.Fatal(err)
	}
	if got := content(f, shadowFile); strings.Contains(got, "known") {
		t.Errorf("shadow is %q", got)
	}
}

func TestRemoveKeepsAGroupThatOthersUse(t *testing.T) {
	tests := map[string]map[string]string{
		"as members": {groupFile: "root:x:0:\nss-server:x:999:anna\n", gshadowFile: "root:*::\nss-server:!::anna\n"},
		"as their first group": {
			passwdFile: "root:x:0:0::/root:/bin/sh\nanna:x:1000:999::/home/anna:/bin/sh\nss-server:x:999:999::/:/sbin/nologin\n",
			groupFile:  "root:x:0:\nss-server:x:999:\n",
		},
	}
	for name, changes := range tests {
		t.Run(name, func(t *testing.T) {
			f := accountImage(t, changes)
			before := accountFiles(f)
			check(t, NewAccounts(f).Remove(t.Context(), "ss-server", false))
			after := accountFiles(f)
			if after[groupFile] != before[groupFile] {
				t.Errorf("group is %q", after[groupFile])
			}
			if strings.Contains(after[passwdFile], "ss-server") {
				t.Errorf("passwd is %q", after[passwdFile])
			}
		})
	}
}

func TestNumbersComeFromTheTopOfTheSystemsRange(t *testing.T) {
	tests := []struct {
		name     string
		changes  map[string]string
		uid, gid int
		fails    bool
	}{
		{name: "the default range", uid: 999, gid: 999},
		{name: "no login.defs", changes: map[string]string{"/etc/login.defs": missing}, uid: 999, gid: 999},
		{
			name: "its own range", uid: 499, gid: 499,
			changes: map[string]string{"/etc/login.defs": "SYS_UID_MIN 201\nSYS_UID_MAX 499\nSYS_GID_MIN 201\nSYS_GID_MAX 499\n"},
		},
		{
			name: "the highest free in both files", uid: 997, gid: 997,
			changes: map[string]string{passwdFile: "a:x:999:1::/:/bin/sh\n", groupFile: "b:x:998:\n"},
		},
		{
			name: "different ones when none is free in both", uid: 101, gid: 102,
			changes: map[string]string{
				"/etc/login.defs": "SYS_UID_MIN 101\nSYS_UID_MAX 102\nSYS_GID_MIN 101\nSYS_GID_MAX 102\n",
				passwdFile:        "a:x:102:1::/:/bin/sh\n", groupFile: "b:x:101:\n",
			},
		},
		{
			name: "the number of the group that is there", uid: 321, gid: 321,
			changes: map[string]string{groupFile: "ss-server:x:321:\n"},
		},
		{
			name: "none when all are taken", fails: true,
			changes: map[string]string{
				"/etc/login.defs": "SYS_UID_MIN 101\nSYS_UID_MAX 101\n", passwdFile: "a:x:101:1::/:/bin/sh\n",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := NewAccounts(accountImage(t, test.changes))
			_, err := a.Create(t.Context(), "ss-server", testHome)
			if test.fails {
				if err == nil || !strings.Contains(err.Error(), "login.defs") {
					t.Errorf("error is %v", err)
				}
				return
			}
			check(t, err)
			if uid, gid, err := a.Lookup("ss-server"); uid != test.uid || gid != test.gid || err != nil {
				t.Errorf("numbers are %d, %d, %v, want %d, %d", uid, gid, err, test.uid, test.gid)
			}
		})
	}
}

func TestNumbersOfADirectoryServiceAreNotUsed(t *testing.T) {
	f := accountImage(t, map[string]string{"/etc/nsswitch.conf": "passwd: files systemd sss\ngroup: files [SUCCESS=merge] systemd\n"})
	asked := []string{}
	a := &accounts{fs: f, run: func(_ context.Context, argv ...string) (string, error) {
		asked = append(asked, strings.Join(argv, " "))
		if slices.Contains(argv, "999") {
			return "anna:*:999:100::/home/anna:/bin/sh\n", nil
		}
		return "", &CommandError{Argv: argv, Code: 2}
	}}
	if !a.hasDirectory("passwd") || a.hasDirectory("group") {
		t.Fatal("nsswitch.conf was not understood")
	}
	if fields := a.askDirectory("passwd", "999"); len(fields) == 0 || fields[0] != "anna" {
		t.Errorf("999 is %v", fields)
	}
	if fields := a.askDirectory("passwd", "998"); fields != nil {
		t.Errorf("998 is %v", fields)
	}
	if want := []string{"getent passwd 999", "getent passwd 998"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}

func TestNamesThatAreNoFieldAreRefused(t *testing.T) {
	a := NewAccounts(accountImage(t, nil))
	for _, name := range []string{"", "a:b", "a\nb", "-a", "9a", strings.Repeat("a", 33), "Ä"} {
		if _, err := a.Create(t.Context(), name, testHome); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if _, err := a.Create(t.Context(), "ss-server", "/a:b"); err == nil {
		t.Error("a home with a colon was taken")
	}
}

func TestLookupTellsAMissingAccountFromABrokenOne(t *testing.T) {
	a := NewAccounts(accountImage(t, map[string]string{passwdFile: "short:x:1\nwrong:x:one:2::/:/bin/sh\n"}))
	if _, _, err := a.Lookup("ss-server"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, name := range []string{"short", "wrong"} {
		if _, _, err := a.Lookup(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateWaitsForTheLockOfOtherPrograms(t *testing.T) {
	f := accountImage(t, map[string]string{accountsLock: ""})
	other, err := os.OpenFile(f.Real(accountsLock), os.O_RDWR, 0)
	check(t, err)
	check(t, unix.FcntlFlock(other.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := NewAccounts(f).Create(ctx, "ss-server", testHome); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = other.Close() })
	if _, err := NewAccounts(f).Create(t.Context(), "ss-server", testHome); err != nil {
		t.Fatal(err)
	}
}

func FuzzAccountFile(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "root:x:0:0:root:/root:/bin/bash\n", "root:x:0:0", "a\n\n:\n+::::::\n-nobody:\n", "root:!*:19000::::::\n", "wheel:x:10:anna,bert\n",
		"x:\r\n", "ss-server", "\x00:\xff\n",
	} {
		f.Add([]byte(seed))
	}
	const name, line = "ss-server", "ss-server:x:999:999::/:/usr/sbin/nologin"
	f.Fuzz(func(t *testing.T, text []byte) {
		file := parseAccountFile(text)
		if got := file.bytes(); string(got) != string(text) {
			t.Fatalf("%q came back as %q", text, got)
		}
		if strings.Contains(string(text), name) {
			return
		}
		added := parseAccountFile(file.with(line).bytes())
		if fields, ok := added.find(name); !ok || len(fields) != 7 {
			t.Fatalf("%q with the line is %q", text, added.bytes())
		}
		if got := added.without(name).bytes(); string(got) != string(text) {
			t.Fatalf("%q with the line and without it is %q", text, got)
		}
	})
}

func FuzzLoginDefs(f *testing.F) {
	f.Add([]byte("SYS_UID_MIN 100\nSYS_UID_MAX 999\nUID_MIN 1000\n"))
	f.Add([]byte("# UID_MIN 5\nSYS_GID_MAX\t0x1ff\nSYS_GID_MIN 0500\nGID_MIN -1\nUMASK 022"))
	f.Fuzz(func(t *testing.T, text []byte) {
		defs := parseLoginDefs(text)
		for _, r := range []numberRange{defs.uids, defs.gids} {
			if r.min <= 0 || r.min > r.max {
				t.Fatalf("range is %v", r)
			}
		}
	})
}
