//go:build linux

package snapshot

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tree makes a small root file system in which the caller is called "me".
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "etc/passwd", strings.ReplaceAll("me:x:UID:GID::/:/bin/sh\nss-server:x:990:990::/:/bin/false\n",
		"UID", strconv.Itoa(os.Getuid())))
	write(t, root, "etc/group", strings.ReplaceAll("us:x:GID:\n", "GID", strconv.Itoa(os.Getgid())))
	write(t, root, "etc/shadow", "me:*:19000:0:99999:7:::\n")
	write(t, root, "opt/app/program", "one")
	write(t, root, "var/log/noise", "x")
	if err := os.Symlink("program", filepath.Join(root, "opt/app/current")); err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(file, long, long); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, root string, o Options) *Snapshot {
	t.Helper()
	s, err := Take(root, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDiffTellsEveryChangeInWords(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, root string)
		want   []string
	}{
		"nothing": {func(t *testing.T, root string) {}, nil},
		"a folder's time, which says nothing": {func(t *testing.T, root string) {
			must(t, os.Chtimes(filepath.Join(root, "opt/app"), time.Now(), time.Now()))
		}, nil},
		"a new file": {
			func(t *testing.T, root string) { write(t, root, "opt/new", "two") },
			[]string{"+ /opt/new: file me:us 0644, 3 bytes, content 3fc4ccfe"},
		},
		"a lost file": {
			func(t *testing.T, root string) { must(t, os.Remove(filepath.Join(root, "opt/app/program"))) },
			[]string{"- /opt/app/program: file me:us 0644, 3 bytes, content 7692c3ad"},
		},
		"other content of the same size and time": {
			func(t *testing.T, root string) { write(t, root, "opt/app/program", "two") },
			[]string{"~ /opt/app/program: content 7692c3ad -> 3fc4ccfe"},
		},
		"another mode": {
			func(t *testing.T, root string) { must(t, os.Chmod(filepath.Join(root, "opt/app/program"), 0o600)) },
			[]string{"~ /opt/app/program: mode 0644 -> 0600"},
		},
		"another time": {func(t *testing.T, root string) {
			must(t, os.Chtimes(filepath.Join(root, "opt/app/program"), time.Unix(1, 5), time.Unix(1, 5)))
		}, []string{"~ /opt/app/program: time 2023-11-14T22:13:20Z -> 1970-01-01T00:00:01.000000005Z"}},
		"another target": {func(t *testing.T, root string) {
			must(t, os.Remove(filepath.Join(root, "opt/app/current")))
			must(t, os.Symlink("elsewhere", filepath.Join(root, "opt/app/current")))
		}, []string{"~ /opt/app/current: target program -> elsewhere"}},
		"a file that became a folder": {func(t *testing.T, root string) {
			must(t, os.Remove(filepath.Join(root, "opt/app/program")))
			must(t, os.Mkdir(filepath.Join(root, "opt/app/program"), 0o755))
		}, []string{"~ /opt/app/program: type file -> folder, mode 0644 -> 0755"}},
		"another account": {
			func(t *testing.T, root string) {
				write(t, root, "etc/group", "us:x:"+strconv.Itoa(os.Getgid())+":\nnew:x:7:\n")
			},
			[]string{"+ account group new: x:7:"},
		},
		"a changed account, but not the day of its change": {
			func(t *testing.T, root string) { write(t, root, "etc/shadow", "me:!:20000:0:99999:7:::\n") },
			[]string{"~ account shadow me: *::0:99999:7::: -> !::0:99999:7:::"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t)
			before := take(t, root, Options{})
			c.change(t, root)
			if got := Diff(before, take(t, root, Options{})); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestServicesAreCompared(t *testing.T) {
	root := tree(t)
	a := take(t, root, Options{Services: map[string]string{"ss-server": "enabled, active"}})
	b := take(t, root, Options{Services: map[string]string{"ss-server": "enabled, failed"}})
	want := []string{"~ service ss-server: enabled, active -> enabled, failed"}
	if got := Diff(a, b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIgnoredPathsAreLeftOutWithWhatIsBelow(t *testing.T) {
	root := tree(t)
	s := take(t, root, Options{Ignore: []string{"/var/log", "/opt/*/pro*"}})
	for name := range s.Files {
		if strings.HasPrefix(name, "/var/log") || name == "/opt/app/program" {
			t.Errorf("%s is in the snapshot", name)
		}
	}
	if _, ok := s.Files["/opt/app/current"]; !ok {
		t.Error("/opt/app/current is not")
	}
}

func TestOnlyTheGivenRootsAreWalked(t *testing.T) {
	s := take(t, tree(t), Options{Roots: []string{"/opt/app", "/not/there"}})
	if len(s.Files) != 3 {
		t.Errorf("holds %v", s.Files)
	}
}
