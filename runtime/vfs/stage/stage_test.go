package stage_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/stage"
	"ss-setup/runtime/vfs/vfstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a VFS as two users see it, which can be stopped and started.
type server struct {
	dir       string
	encrypted bool
	key       crypt.Key
	now       time.Time

	uploads    *stage.Uploads
	alice, bob vfs.FS
	// inner may be wrapped by a test.
	wrap func(vfs.FS) vfs.FS
}

func start(t testing.TB, encrypted bool) *server {
	t.Helper()
	key, err := crypt.NewKey()
	must(t, err)
	s := &server{dir: t.TempDir(), encrypted: encrypted, key: key, now: time.Now(), wrap: func(f vfs.FS) vfs.FS { return f }}
	s.restart(t)
	return s
}

// restart is what a kill and a start are: nothing in memory is kept.
func (s *server) restart(t testing.TB) {
	t.Helper()
	root, err := disk.Open(s.dir, disk.Options{})
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	var content vfs.FS = root
	quiet := slog.New(slog.DiscardHandler)
	if s.encrypted {
		volume, err := crypt.NewVolume(root, quiet, s.key)
		must(t, err)
		content = volume.Tree(root, vfs.Root)
	}
	content = s.wrap(content)
	s.uploads, err = stage.Open(content, root, stage.Options{Now: func() time.Time { return s.now }, Log: quiet})
	must(t, err)
	s.alice, s.bob = s.uploads.Tree(content, vfs.Root, "alice"), s.uploads.Tree(content, vfs.Root, "bob")
}

func each(t *testing.T, test func(t *testing.T, s *server)) {
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) { test(t, start(t, encrypted)) })
	}
}

func names(t testing.TB, f vfs.FS) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(vfstest.Names(t, f, "/")))
}

func begin(t testing.TB, f vfs.FS, name string, content []byte) vfs.File {
	t.Helper()
	file, err := f.Open(vfstest.Path(t, name), vfs.Write|vfs.Create|vfs.Truncate, 0)
	must(t, err)
	_, err = file.WriteAt(content, 0)
	must(t, err)
	return file
}

// onDisk is what an administrator sees, without the server's own folder.
func onDisk(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		if e.Name() != vfs.Private {
			all = append(all, e.Name())
		}
	}
	return all
}

func TestAnUploadIsSeenByItsUserAndByOthersOnlyWhenItIsWhole(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		content := bytes.Repeat([]byte("new "), 50_000)
		file := begin(t, s.alice, "/report", content)
		if got := names(t, s.bob); len(got) > 0 {
			t.Errorf("bob sees %v", got)
		}
		if _, err := s.bob.Stat(vfstest.Path(t, "/report")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("bob finds it: %v", err)
		}
		if got := names(t, s.alice); !slices.Equal(got, []string{"report"}) {
			t.Errorf("alice sees %v", got)
		}
		for _, look := range []func(vfs.Path) (vfs.Info, error){s.alice.Stat, s.alice.Lstat} {
			if info, err := look(vfstest.Path(t, "/report")); err != nil || info.Size != int64(len(content)) || info.Name != "report" {
				t.Errorf("alice's stat: %+v, %v", info, err)
			}
		}
		if got := vfstest.Get(t, s.alice, "/report"); !bytes.Equal(got, content) {
			t.Error("alice does not read what she has written")
		}
		must(t, file.Close())
		if got := vfstest.Get(t, s.bob, "/report"); !bytes.Equal(got, content) {
			t.Error("bob reads something else")
		}
		if got := onDisk(t, s.dir); !slices.Equal(got, []string{"report"}) {
			t.Errorf("left on the disk: %v", got)
		}
	})
}

func TestAFileThatIsReplacedIsOldOrNewForOthersAndKeepsItsMode(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		vfstest.Put(t, s.alice, "/f", []byte("old content"))
		mode := fs.FileMode(0o604)
		must(t, s.alice.SetStat(vfstest.Path(t, "/f"), vfs.Change{Mode: &mode}))
		file := begin(t, s.alice, "/f", []byte("new"))
		if got := vfstest.Get(t, s.bob, "/f"); string(got) != "old content" {
			t.Errorf("bob reads %q", got)
		}
		must(t, file.Close())
		if got := vfstest.Get(t, s.bob, "/f"); string(got) != "new" {
			t.Errorf("bob reads %q", got)
		}
		info, err := s.bob.Stat(vfstest.Path(t, "/f"))
		must(t, err)
		if info.Mode.Perm()&0o004 == 0 {
			t.Errorf("mode %v", info.Mode)
		}
	})
}

func TestAnUploadThatBrokeOffIsResumedByItsUserAlsoAfterARestart(t *testing.T) {
	content := bytes.Repeat([]byte("resume me; "), 40_000)
	for name, breakOff := range map[string]func(t *testing.T, s *server, f vfs.File){
		"connection cut": func(t *testing.T, _ *server, f vfs.File) { must(t, f.Abort()) },
		"server killed":  func(t *testing.T, s *server, _ vfs.File) { s.restart(t) },
		"cut, then restarted": func(t *testing.T, s *server, f vfs.File) {
			must(t, f.Abort())
			s.restart(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) {
				vfstest.Put(t, s.bob, "/f", []byte("the old file"))
				file := begin(t, s.alice, "/f", content[:200_000])
				breakOff(t, s, file)
				if got := vfstest.Get(t, s.bob, "/f"); string(got) != "the old file" {
					t.Errorf("bob reads %d bytes", len(got))
				}
				info, err := s.alice.Stat(vfstest.Path(t, "/f"))
				must(t, err)
				// What a killed server had in memory is lost; what is there is a beginning.
				if info.Size > 200_000 || info.Size < 131_072 {
					t.Errorf("%d bytes are left", info.Size)
				}
				if listed := vfstest.Names(t, s.alice, "/")["f"]; listed.Size != info.Size {
					t.Errorf("listed with %d bytes, not %d", listed.Size, info.Size)
				}
				// As WinSCP and OpenSSH do: no APPEND, no TRUNC, offsets.
				again, err := s.alice.Open(vfstest.Path(t, "/f"), vfs.Write, 0)
				must(t, err)
				_, err = again.WriteAt(content[info.Size:], info.Size)
				must(t, errors.Join(err, again.Close()))
				if got := vfstest.Get(t, s.bob, "/f"); !bytes.Equal(got, content) {
					t.Error("the resumed file differs")
				}
				if got := onDisk(t, s.dir); !slices.Equal(got, []string{"f"}) {
					t.Errorf("left on the disk: %v", got)
				}
			})
		})
	}
}

func TestWhatWasWrittenBehindAGapIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		file := begin(t, s.alice, "/f", bytes.Repeat([]byte("a"), 1000))
		for _, off := range []int64{2000, 1000, 5000} {
			_, err := file.WriteAt(bytes.Repeat([]byte("b"), 1000), off)
			must(t, err)
		}
		must(t, file.Abort())
		info, err := s.alice.Stat(vfstest.Path(t, "/f"))
		must(t, err)
		if info.Size != 3000 {
			t.Errorf("%d bytes are kept", info.Size)
		}
	})
}

// full is a disk that is full after so many bytes.
type full struct {
	vfs.FS
	left int
}

type fullFile struct {
	vfs.File
	disk *full
}

func (f *full) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	file, err := f.FS.Open(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &fullFile{file, f}, nil
}

func (f *fullFile) WriteAt(p []byte, off int64) (int, error) {
	if len(p) > f.disk.left {
		n, err := f.File.WriteAt(p[:f.disk.left], off)
		f.disk.left = 0
		return n, errors.Join(err, vfs.ErrNoSpace)
	}
	f.disk.left -= len(p)
	return f.File.WriteAt(p, off)
}

func TestAFullDiskIsToldAndLeavesWhatAResumeExpects(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		disk := &full{left: 1 << 30}
		s.wrap = func(f vfs.FS) vfs.FS {
			disk.FS = f
			return disk
		}
		s.restart(t)
		content := bytes.Repeat([]byte("0123456789"), 30_000)
		file := begin(t, s.alice, "/f", content[:100_000])
		disk.left = 50_000
		if _, err := file.WriteAt(content[100_000:200_000], 100_000); !errors.Is(err, vfs.ErrNoSpace) {
			t.Errorf("a write on a full disk: %v", err)
		}
		disk.left = 1 << 30
		if _, err := file.WriteAt(content[200_000:], 200_000); !errors.Is(err, vfs.ErrNoSpace) {
			t.Errorf("the write behind it: %v", err)
		}
		if err := file.Close(); !errors.Is(err, vfs.ErrNoSpace) {
			t.Errorf("closing it: %v", err)
		}
		if _, err := s.bob.Stat(vfstest.Path(t, "/f")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("others see half a file: %v", err)
		}
		if got := vfstest.Get(t, s.alice, "/f"); !bytes.Equal(got, content[:150_000]) {
			t.Errorf("%d bytes are kept", len(got))
		}
		again, err := s.alice.Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Append, 0)
		must(t, err)
		_, err = again.WriteAt(content[150_000:], 150_000)
		must(t, errors.Join(err, again.Close()))
		if got := vfstest.Get(t, s.bob, "/f"); !bytes.Equal(got, content) {
			t.Error("the resumed file differs")
		}
	})
}

func TestLeftoversGoAfterTheirTime(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		must(t, begin(t, s.alice, "/f", []byte("half")).Abort())
		must(t, os.WriteFile(filepath.Join(s.dir, vfs.TempPrefix+"0011"), []byte("nobody knows"), 0o600))
		live := begin(t, s.bob, "/live", []byte("still written"))
		if n, err := s.uploads.SweepAll(t.Context()); n != 0 || err != nil {
			t.Errorf("swept too early: %d, %v", n, err)
		}
		s.now = s.now.Add(stage.DefaultKeep + time.Hour)
		if n, err := s.uploads.SweepAll(t.Context()); n != 2 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		must(t, live.Close())
		if got := onDisk(t, s.dir); !slices.Equal(got, []string{"live"}) {
			t.Errorf("left on the disk: %v", got)
		}
		if got := names(t, s.alice); !slices.Equal(got, []string{"live"}) {
			t.Errorf("alice sees %v", got)
		}
		s.restart(t)
	})
}

func TestStartingAnewReplacesWhatIsLeft(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		must(t, begin(t, s.alice, "/f", bytes.Repeat([]byte("half"), 1000)).Abort())
		vfstest.Put(t, s.alice, "/f", []byte("whole"))
		if got := vfstest.Get(t, s.bob, "/f"); string(got) != "whole" {
			t.Errorf("bob reads %q", got)
		}
		if got := onDisk(t, s.dir); !slices.Equal(got, []string{"f"}) {
			t.Errorf("left on the disk: %v", got)
		}
	})
}

func TestASessionThatDiesLateDoesNotUndoAnUploadThatIsDone(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		dead := begin(t, s.alice, "/f", []byte("first try"))
		vfstest.Put(t, s.alice, "/f", []byte("second try"))
		must(t, dead.Abort())
		if got := vfstest.Get(t, s.alice, "/f"); string(got) != "second try" {
			t.Errorf("alice reads %q", got)
		}
		if got := onDisk(t, s.dir); !slices.Equal(got, []string{"f"}) {
			t.Errorf("left on the disk: %v", got)
		}
	})
}

func TestAFolderThatLooksEmptyCanBeRemoved(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		must(t, s.alice.Mkdir(vfstest.Path(t, "/d"), 0))
		live := begin(t, s.alice, "/d/f", []byte("half"))
		if err := s.bob.Rmdir(vfstest.Path(t, "/d")); !errors.Is(err, vfs.ErrNotEmpty) {
			t.Errorf("while somebody uploads into it: %v", err)
		}
		must(t, live.Abort())
		if err := s.alice.Rmdir(vfstest.Path(t, "/d")); !errors.Is(err, vfs.ErrNotEmpty) {
			t.Errorf("by the user who sees it is not empty: %v", err)
		}
		must(t, s.bob.Rmdir(vfstest.Path(t, "/d")))
	})
}

func TestRenameAndRemoveOfAnUploadDoWhatTheUserSees(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		// sshfs moves files that are open.
		file := begin(t, s.alice, "/a", []byte("one, "))
		must(t, s.alice.Rename(vfstest.Path(t, "/a"), vfstest.Path(t, "/b"), false))
		_, err := file.WriteAt([]byte("two"), 5)
		must(t, errors.Join(err, file.Close()))
		if got := vfstest.Get(t, s.bob, "/b"); string(got) != "one, two" {
			t.Errorf("renamed while it was open: %q", got)
		}
		file = begin(t, s.alice, "/c", []byte("gone"))
		must(t, s.alice.Remove(vfstest.Path(t, "/c")))
		must(t, file.Close())
		must(t, s.alice.Mkdir(vfstest.Path(t, "/d"), 0))
		file = begin(t, s.alice, "/d/f", []byte("moves along"))
		must(t, s.alice.Rename(vfstest.Path(t, "/d"), vfstest.Path(t, "/e"), true))
		must(t, file.Close())
		if got := vfstest.Get(t, s.bob, "/e/f"); string(got) != "moves along" {
			t.Errorf("in a folder that was renamed: %q", got)
		}
		if got := onDisk(t, s.dir); !slices.Equal(got, []string{"b", "e"}) {
			t.Errorf("left on the disk: %v", got)
		}
	})
}

func TestExclusiveCreationSeesUploads(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		file := begin(t, s.alice, "/f", nil)
		if _, err := s.alice.Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Create|vfs.Exclusive, 0); !errors.Is(err, fs.ErrExist) {
			t.Errorf("while it is uploaded: %v", err)
		}
		must(t, file.Close())
		if _, err := s.alice.Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Create|vfs.Exclusive, 0); !errors.Is(err, fs.ErrExist) {
			t.Errorf("when it is there: %v", err)
		}
		if _, err := s.alice.Open(vfstest.Path(t, "/none"), vfs.Write, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without Create: %v", err)
		}
	})
}

func TestTimesSetByNameDuringAnUploadAreKept(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		when := time.Unix(1_111_111_111, 0)
		file := begin(t, s.alice, "/f", bytes.Repeat([]byte("x"), 70_000))
		must(t, s.alice.SetStat(vfstest.Path(t, "/f"), vfs.Change{ModTime: &when}))
		must(t, file.Close())
		if info, err := s.bob.Stat(vfstest.Path(t, "/f")); err != nil || !info.ModTime.Equal(when) {
			t.Errorf("%v, %v", info.ModTime, err)
		}
	})
}

func TestRandomWorkGivesWhatAModelGives(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		for seed := range uint64(2) {
			vfstest.Random(t, s.alice, seed, 300)
		}
	})
}

func TestARecordThatIsNotOursIsIgnored(t *testing.T) {
	s := start(t, false)
	records := filepath.Join(s.dir, vfs.Private, "uploads")
	for name, content := range map[string]string{
		"1": "", "2": "{", "3": `{"target":"/../etc/passwd","temp":"/../etc/x"}`, "4": `{"target":"/a","temp":"/secret"}`,
		"5": `{"target":"/a/b","temp":"/` + vfs.TempPrefix + `5"}`, "6": strings.Repeat("x", 100_000),
	} {
		must(t, os.WriteFile(filepath.Join(records, name), []byte(content), 0o600))
	}
	vfstest.Put(t, s.alice, "/secret", []byte("x"))
	s.restart(t)
	if got := names(t, s.alice); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("alice sees %v", got)
	}
	entries, err := os.ReadDir(records)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("%d records are left", len(entries))
	}
}

// TestAnUploadOfAFileWithAnOldTimeIsNotTooOld: clients give files the times that they had.
func TestAnUploadOfAFileWithAnOldTimeIsNotTooOld(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		old := time.Unix(1_000_000_000, 0)
		upload := func(f vfs.FS, name string) vfs.File {
			file := begin(t, f, name, []byte("half"))
			must(t, file.SetStat(vfs.Change{AccessTime: &old, ModTime: &old}))
			return file
		}
		must(t, upload(s.alice, "/left").Abort())
		var live vfs.File
		s.wrap = func(f vfs.FS) vfs.FS {
			// One that begins when the sweep is under way.
			return &listed{FS: f, before: func() { live = upload(s.bob, "/live") }}
		}
		s.restart(t)
		if n, err := s.uploads.SweepAll(t.Context()); n != 0 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		if got := vfstest.Get(t, s.alice, "/left"); string(got) != "half" {
			t.Errorf("left: %q", got)
		}
		must(t, live.Close())
		if got := vfstest.Get(t, s.alice, "/live"); string(got) != "half" {
			t.Errorf("live: %q", got)
		}
	})
}

// listed does something before its root is listed first.
type listed struct {
	vfs.FS
	before func()
}

func (l *listed) ReadDir(name vfs.Path) (vfs.Dir, error) {
	if before := l.before; before != nil && name.IsRoot() {
		l.before = nil
		before()
	}
	return l.FS.ReadDir(name)
}
