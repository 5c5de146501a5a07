package disk_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/vfstest"
)

// open gives a tree in a folder "tree" with a file "secret" beside it, outside.
func open(t *testing.T, opt disk.Options) (f *disk.FS, dir string) {
	t.Helper()
	outer := t.TempDir()
	dir = filepath.Join(outer, "tree")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(outer, "secret"), []byte("outside"), 0o644))
	f, err := disk.Open(dir, opt)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func path(t *testing.T, s string) vfs.Path {
	t.Helper()
	p, err := vfs.Parse(s, vfs.Rules{})
	must(t, err)
	return p
}

func put(t *testing.T, f vfs.FS, name, content string) {
	t.Helper()
	file, err := f.Open(path(t, name), vfs.Write|vfs.Create|vfs.Truncate, 0)
	must(t, err)
	_, err = file.WriteAt([]byte(content), 0)
	must(t, errors.Join(err, file.Close()))
}

func get(t *testing.T, f vfs.FS, name string) string {
	t.Helper()
	file, err := f.Open(path(t, name), vfs.Read, 0)
	must(t, err)
	defer file.Close()
	content, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	must(t, err)
	return string(content)
}

func names(t *testing.T, f vfs.FS, dir string) []string {
	t.Helper()
	d, err := f.ReadDir(path(t, dir))
	must(t, err)
	defer d.Close()
	var all []string
	for {
		infos, err := d.Next(7)
		if errors.Is(err, io.EOF) {
			slices.Sort(all)
			return all
		}
		must(t, err)
		for _, info := range infos {
			all = append(all, info.Name)
		}
	}
}

func TestAFileIsWrittenAtOffsetsAndKeepsWhatIsNotTruncated(t *testing.T) {
	f, _ := open(t, disk.Options{})
	put(t, f, "/a", "hello world")
	file, err := f.Open(path(t, "/a"), vfs.Read|vfs.Write|vfs.Append, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("W"), 6)
	must(t, err)
	_, err = file.WriteAt([]byte("!"), 12)
	must(t, err)
	must(t, file.Close())
	must(t, file.Abort())
	if got := get(t, f, "a"); got != "hello World\x00!" {
		t.Errorf("content %q", got)
	}
}

func TestErrorsHaveTheValuesOfTheInterfaceAndNoPathOfTheMachine(t *testing.T) {
	f, dir := open(t, disk.Options{Links: true})
	put(t, f, "/file", "x")
	must(t, f.Mkdir(path(t, "/full"), 0))
	put(t, f, "/full/file", "x")
	openAs := func(name string, flag vfs.Flag) error {
		file, err := f.Open(path(t, name), flag, 0)
		if err == nil {
			err = file.Close()
		}
		return err
	}
	for name, c := range map[string]struct{ got, want error }{
		"read what is not there":     {openAs("/none", vfs.Read), fs.ErrNotExist},
		"read below what is no dir":  {openAs("/file/x", vfs.Read), vfs.ErrNotDir},
		"create below a missing dir": {openAs("/none/x", vfs.Write|vfs.Create), fs.ErrNotExist},
		"create what is there":       {openAs("/file", vfs.Write|vfs.Create|vfs.Exclusive), fs.ErrExist},
		"open a folder":              {openAs("/full", vfs.Read), vfs.ErrIsDir},
		"write a folder":             {openAs("/full", vfs.Write), vfs.ErrIsDir},
		"open the root":              {openAs("/", vfs.Read), vfs.ErrIsDir},
		"remove a folder as a file":  {f.Remove(path(t, "/full")), vfs.ErrIsDir},
		"remove a file as a folder":  {f.Rmdir(path(t, "/file")), vfs.ErrNotDir},
		"remove a full folder":       {f.Rmdir(path(t, "/full")), vfs.ErrNotEmpty},
		"remove the root":            {f.Rmdir(path(t, "/")), fs.ErrPermission},
		"make what is there":         {f.Mkdir(path(t, "/full"), 0), fs.ErrExist},
		"rename what is not there":   {f.Rename(path(t, "/none"), path(t, "/x"), false), fs.ErrNotExist},
		"rename onto a file":         {f.Rename(path(t, "/file"), path(t, "/full/file"), false), fs.ErrExist},
		"link out":                   {f.Symlink("../secret", path(t, "/l")), vfs.ErrBadPath},
		"absolute link":              {f.Symlink("/etc/passwd", path(t, "/l")), vfs.ErrBadPath},
		"link to the server's own":   {f.Symlink(".ss-server/key", path(t, "/l")), vfs.ErrBadPath},
		"list a file":                {func() error { _, err := f.ReadDir(path(t, "/file")); return err }(), vfs.ErrNotDir},
		"a size below zero":          {f.SetStat(path(t, "/file"), vfs.Change{Size: ptr(int64(-1))}), vfs.ErrTooLarge},
		"a size of exabytes":         {f.SetStat(path(t, "/file"), vfs.Change{Size: ptr(int64(1) << 62)}), vfs.ErrTooLarge},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v; want %v", name, c.got, c.want)
		}
		if c.got != nil && strings.Contains(c.got.Error(), filepath.Dir(dir)) {
			t.Errorf("%s: the message tells a path of the machine: %v", name, c.got)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestRenameReplacesOnlyWhenItIsMeant(t *testing.T) {
	f, _ := open(t, disk.Options{})
	put(t, f, "/a", "a")
	put(t, f, "/b", "b")
	if err := f.Rename(path(t, "/a"), path(t, "/b"), false); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("a plain rename onto a file: %v", err)
	}
	must(t, f.Rename(path(t, "/a"), path(t, "/b"), true))
	must(t, f.Rename(path(t, "/b"), path(t, "/c"), false))
	if got := get(t, f, "/c"); got != "a" {
		t.Errorf("content after the renames: %q", got)
	}
}

func TestTimesAndModeAreObeyedByNameAndByHandle(t *testing.T) {
	f, _ := open(t, disk.Options{})
	put(t, f, "/a", "a")
	early, late := time.Unix(1_000_000_000, 0), time.Unix(1_500_000_000, 0)
	must(t, f.SetStat(path(t, "/a"), vfs.Change{ModTime: &early, AccessTime: &late, Mode: ptr(fs.FileMode(0o6604))}))
	info, err := f.Stat(path(t, "/a"))
	must(t, err)
	// Windows sets the time of the last access by itself whenever it likes.
	keeps := runtime.GOOS == "linux"
	if !info.ModTime.Equal(early) || keeps && !info.AccessTime.Equal(late) {
		t.Errorf("times %v, %v", info.ModTime, info.AccessTime)
	}
	if runtime.GOOS == "linux" && info.Mode != 0o604 {
		t.Errorf("mode %v: bits beyond the permissions were set", info.Mode)
	}
	file, err := f.Open(path(t, "/a"), vfs.Write, 0)
	must(t, err)
	must(t, file.SetStat(vfs.Change{ModTime: &late}))
	must(t, file.Close())
	info, err = f.Lstat(path(t, "/a"))
	must(t, err)
	if !info.ModTime.Equal(late) || keeps && !info.AccessTime.Equal(late) {
		t.Errorf("times by handle %v, %v", info.ModTime, info.AccessTime)
	}
}

func TestALargeFolderIsListedInPieces(t *testing.T) {
	f, dir := open(t, disk.Options{})
	var want []string
	for i := range 1000 {
		name := fmt.Sprintf("f%04d", i)
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		want = append(want, name)
	}
	if got := names(t, f, "/"); !slices.Equal(got, want) {
		t.Errorf("%d names listed", len(got))
	}
}

func TestWindowsAloneReservesNamesOfDevices(t *testing.T) {
	f, _ := open(t, disk.Options{})
	p := path(t, "/NUL")
	file, err := f.Open(p, vfs.Write|vfs.Create, 0)
	if runtime.GOOS == "windows" {
		if err == nil {
			t.Error("a device was opened")
		}
		return
	}
	must(t, err)
	must(t, file.Close())
}

func TestRoomOnTheDiskIsTold(t *testing.T) {
	f, _ := open(t, disk.Options{})
	s, err := f.StatFS(path(t, "/not/there"))
	must(t, err)
	if s.Total <= 0 || s.Free <= 0 || s.BlockSize <= 0 || s.MaxName <= 0 {
		t.Errorf("%+v", s)
	}
	folds, err := f.FoldsCase()
	must(t, err)
	if folds != (runtime.GOOS == "windows") {
		t.Errorf("folds case: %v", folds)
	}
	if left := names(t, f, "/"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRandomWorkGivesWhatAModelGives(t *testing.T) {
	for seed := range uint64(4) {
		f, _ := open(t, disk.Options{})
		vfstest.Random(t, f, seed, 600)
	}
}
