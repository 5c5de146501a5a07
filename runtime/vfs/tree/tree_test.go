package tree_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/speed"
	"ss-setup/runtime/vfs/stage"
	"ss-setup/runtime/vfs/tree"
	"ss-setup/runtime/vfs/vfstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newVFS is a VFS in a folder of its own.
func newVFS(t testing.TB) (vfs.FS, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := disk.Open(dir, disk.Options{Links: true})
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	uploads, err := stage.Open(root, root, stage.Options{Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	return uploads.Tree(root, vfs.Root, "alice"), dir
}

func newTree(t testing.TB, v tree.View) *tree.Tree {
	t.Helper()
	tr, err := tree.New(t.Context(), v)
	must(t, err)
	return tr
}

func home(f vfs.FS) []tree.Mount { return []tree.Mount{{FS: f}} }

func rule(t testing.TB, at string, allow tree.Right) tree.Rule {
	t.Helper()
	return tree.Rule{At: vfstest.Path(t, at), Allow: allow}
}

func names(t testing.TB, f vfs.FS, dir string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(vfstest.Names(t, f, dir)))
}

func openFor(t testing.TB, f vfs.FS, name string, flag vfs.Flag) error {
	t.Helper()
	file, err := f.Open(vfstest.Path(t, name), flag, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func TestEachRightAllowsItsOperationAndNothingElse(t *testing.T) {
	size := int64(0)
	now := time.Now()
	operations := map[string]struct {
		need tree.Right
		do   func(t *testing.T, f vfs.FS) error
	}{
		"list": {tree.List, func(t *testing.T, f vfs.FS) error {
			d, err := f.ReadDir(vfs.Root)
			if err == nil {
				err = d.Close()
			}
			return err
		}},
		"read":            {tree.Read, func(t *testing.T, f vfs.FS) error { return openFor(t, f, "/old", vfs.Read) }},
		"create":          {tree.Upload, func(t *testing.T, f vfs.FS) error { return openFor(t, f, "/new", vfs.Write|vfs.Create) }},
		"truncate":        {tree.Overwrite, func(t *testing.T, f vfs.FS) error { return openFor(t, f, "/old", vfs.Write|vfs.Truncate) }},
		"size":            {tree.Overwrite, func(t *testing.T, f vfs.FS) error { return f.SetStat(vfstest.Path(t, "/old"), vfs.Change{Size: &size}) }},
		"append":          {tree.Append, func(t *testing.T, f vfs.FS) error { return openFor(t, f, "/old", vfs.Write|vfs.Append) }},
		"read and append": {tree.Read | tree.Append, func(t *testing.T, f vfs.FS) error { return openFor(t, f, "/old", vfs.Read|vfs.Write) }},
		"remove":          {tree.Delete, func(t *testing.T, f vfs.FS) error { return f.Remove(vfstest.Path(t, "/old")) }},
		"rmdir":           {tree.Rmdir, func(t *testing.T, f vfs.FS) error { return f.Rmdir(vfstest.Path(t, "/dir")) }},
		"mkdir":           {tree.Mkdir, func(t *testing.T, f vfs.FS) error { return f.Mkdir(vfstest.Path(t, "/more"), 0) }},
		"rename": {tree.Rename | tree.Upload, func(t *testing.T, f vfs.FS) error {
			return f.Rename(vfstest.Path(t, "/old"), vfstest.Path(t, "/x"), false)
		}},
		"move dir": {tree.Rename | tree.Mkdir, func(t *testing.T, f vfs.FS) error {
			return f.Rename(vfstest.Path(t, "/dir"), vfstest.Path(t, "/x"), false)
		}},
		"replace": {tree.Rename | tree.Upload | tree.Overwrite, func(t *testing.T, f vfs.FS) error {
			return f.Rename(vfstest.Path(t, "/old"), vfstest.Path(t, "/other"), true)
		}},
		"link": {tree.Link, func(t *testing.T, f vfs.FS) error { return f.Symlink("old", vfstest.Path(t, "/link")) }},
	}
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			for _, allow := range []tree.Right{op.need, tree.All &^ lowest(op.need)} {
				inner, _ := newVFS(t)
				for _, file := range []string{"/old", "/other"} {
					vfstest.Put(t, inner, file, []byte("content"))
				}
				must(t, inner.Mkdir(vfstest.Path(t, "/dir"), 0))
				f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: allow}}})
				err := op.do(t, f)
				noLinks := name == "link" && runtime.GOOS == "windows" && errors.Is(err, vfs.ErrUnsupported)
				if allow == op.need && err != nil && !noLinks {
					t.Errorf("refused although it is allowed: %v", err)
				}
				lax := name == "append" && allow.Has(tree.Overwrite) || name == "read and append" && !allow.Has(tree.Append)
				if allow != op.need && !lax && !errors.Is(err, fs.ErrPermission) {
					t.Errorf("without its right: %v", err)
				}
			}
		})
	}
	t.Run("times and modes are left alone without a word", func(t *testing.T) {
		inner, _ := newVFS(t)
		vfstest.Put(t, inner, "/f", nil)
		before, err := inner.Stat(vfstest.Path(t, "/f"))
		must(t, err)
		f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: tree.All &^ (tree.SetTimes | tree.SetMode)}}})
		early, mode := now.Add(-time.Hour), fs.FileMode(0o777)
		must(t, f.SetStat(vfstest.Path(t, "/f"), vfs.Change{ModTime: &early, Mode: &mode}))
		after, err := inner.Stat(vfstest.Path(t, "/f"))
		must(t, err)
		if after.Mode != before.Mode || !after.ModTime.Equal(before.ModTime) {
			t.Error("they were set")
		}
	})
}

// lowest is one right of several.
func lowest(r tree.Right) tree.Right { return r & -r }

func TestWhoMayOnlyAppendChangesNothingThatIsThere(t *testing.T) {
	inner, _ := newVFS(t)
	vfstest.Put(t, inner, "/log", []byte("first "))
	f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: tree.Append | tree.Upload}}})
	file, err := f.Open(vfstest.Path(t, "/log"), vfs.Write, 0)
	must(t, err)
	if _, err := file.WriteAt([]byte("X"), 3); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a write into what is there: %v", err)
	}
	short := int64(2)
	if err := file.SetStat(vfs.Change{Size: &short}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("shortening by handle: %v", err)
	}
	if err := f.SetStat(vfstest.Path(t, "/log"), vfs.Change{Size: &short}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("shortening by name: %v", err)
	}
	_, err = file.WriteAt([]byte("second"), 6)
	must(t, errors.Join(err, file.Close()))
	if got := vfstest.Get(t, inner, "/log"); string(got) != "first second" {
		t.Errorf("%q", got)
	}
}

func TestTheNearestRuleCountsByWholeComponents(t *testing.T) {
	inner, _ := newVFS(t)
	for _, dir := range []string{"/secret", "/secrets", "/secret/open", "/drop"} {
		must(t, inner.Mkdir(vfstest.Path(t, dir), 0))
		vfstest.Put(t, inner, dir+"/f", []byte("x"))
	}
	f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{
		rule(t, "/", tree.List|tree.Read), rule(t, "/secret", 0), rule(t, "/secret/open", tree.Read|tree.List), rule(t, "/drop", tree.Upload),
	}})
	for name, want := range map[string]error{
		"/secrets/f": nil, "/secret/open/f": nil, "/secret/f": fs.ErrNotExist, "/drop/f": fs.ErrPermission,
	} {
		if err := openFor(t, f, name, vfs.Read); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
	}
	// The way to what is allowed is seen, and nothing beside it.
	if got := names(t, f, "/secret"); !slices.Equal(got, []string{"open"}) {
		t.Errorf("in /secret: %v", got)
	}
	if got := names(t, f, "/"); !slices.Equal(got, []string{"drop", "secret", "secrets"}) {
		t.Errorf("in /: %v", got)
	}
	if _, err := f.ReadDir(vfstest.Path(t, "/drop")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("list a drop box: %v", err)
	}
}

func TestALinkDoesNotLeadPastTheRights(t *testing.T) {
	inner, dir := newVFS(t)
	must(t, inner.Mkdir(vfstest.Path(t, "/secret"), 0))
	vfstest.Put(t, inner, "/secret/f", []byte("x"))
	must(t, os.Symlink("secret", filepath.Join(dir, "door")))
	must(t, os.Symlink("door/f", filepath.Join(dir, "window")))
	f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{rule(t, "/", tree.All), rule(t, "/secret", 0)}})
	for _, name := range []string{"/door/f", "/window", "/door/../secret/f"} {
		if err := openFor(t, f, name, vfs.Read); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if err := f.Symlink("secret/f", vfstest.Path(t, "/mine")); err == nil {
		if err := openFor(t, f, "/mine", vfs.Read); err == nil {
			t.Error("a link of one's own leads past the rights")
		}
	}
}

func TestVirtualFoldersStandInTheHome(t *testing.T) {
	homeFS, _ := newVFS(t)
	team, _ := newVFS(t)
	vfstest.Put(t, homeFS, "/mine", []byte("home"))
	must(t, homeFS.Mkdir(vfstest.Path(t, "/team"), 0))
	vfstest.Put(t, homeFS, "/team/hidden", []byte("x"))
	vfstest.Put(t, team, "/ours", []byte("team"))
	gone := errors.New("the disk is not there")
	f := newTree(t, tree.View{
		Mounts: []tree.Mount{
			{FS: homeFS},
			{At: vfstest.Path(t, "/team"), FS: team},
			{At: vfstest.Path(t, "/deep/down/team"), FS: team},
			{At: vfstest.Path(t, "/broken"), FS: vfs.Broken(gone)},
		},
		Rules: []tree.Rule{{Allow: tree.All}},
	})
	for dir, want := range map[string][]string{
		"/": {"broken", "deep", "mine", "team"}, "/team": {"ours"}, "/deep": {"down"}, "/deep/down": {"team"}, "/deep/down/team": {"ours"},
	} {
		if got := names(t, f, dir); !slices.Equal(got, want) {
			t.Errorf("in %s: %v", dir, got)
		}
	}
	if got := vfstest.Get(t, f, "/deep/down/team/ours"); string(got) != "team" {
		t.Errorf("%q", got)
	}
	if info, err := f.Stat(vfstest.Path(t, "/deep/down")); err != nil || !info.IsDir() || info.Name != "down" {
		t.Errorf("%+v, %v", info, err)
	}
	if err := openFor(t, f, "/broken/x", vfs.Read); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	for what, err := range map[string]error{
		"remove a virtual folder": f.Rmdir(vfstest.Path(t, "/team")),
		"move a virtual folder":   f.Rename(vfstest.Path(t, "/team"), vfstest.Path(t, "/x"), false),
		"move what holds one":     f.Rename(vfstest.Path(t, "/deep"), vfstest.Path(t, "/x"), false),
		"replace one":             f.Rename(vfstest.Path(t, "/mine"), vfstest.Path(t, "/team"), true),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.Rename(vfstest.Path(t, "/mine"), vfstest.Path(t, "/team/mine"), false); !errors.Is(err, vfs.ErrCrossDevice) {
		t.Errorf("from one VFS to another: %v", err)
	}
}

func TestAHiddenFolderIsLeftOutOfListingsAndOpensToWhoKnowsIt(t *testing.T) {
	homeFS, _ := newVFS(t)
	team, _ := newVFS(t)
	vfstest.Put(t, team, "/ours", []byte("team"))
	f := newTree(t, tree.View{
		Mounts: []tree.Mount{{FS: homeFS}, {At: vfstest.Path(t, "/inbox/team"), FS: team, Hidden: true}},
		Rules:  []tree.Rule{{Allow: tree.All}},
	})
	if got := names(t, f, "/"); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
	if got := vfstest.Get(t, f, "/inbox/team/ours"); string(got) != "team" {
		t.Errorf("%q", got)
	}
}

func TestAMountMayDenyWhatRulesAllow(t *testing.T) {
	inner, _ := newVFS(t)
	vfstest.Put(t, inner, "/f", nil)
	f := newTree(t, tree.View{Mounts: []tree.Mount{{FS: inner, Deny: tree.Link | tree.SetTimes}}, Rules: []tree.Rule{{Allow: tree.All}}})
	if err := f.Symlink("f", vfstest.Path(t, "/l")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a link: %v", err)
	}
	before, err := f.Stat(vfstest.Path(t, "/f"))
	must(t, err)
	early := time.Unix(1000, 0)
	must(t, f.SetStat(vfstest.Path(t, "/f"), vfs.Change{ModTime: &early}))
	after, err := f.Stat(vfstest.Path(t, "/f"))
	must(t, err)
	if !after.ModTime.Equal(before.ModTime) {
		t.Error("its time was set")
	}
}

func TestBeyondASoftQuotaAnUploadEndsAndNoneBegins(t *testing.T) {
	inner, _ := newVFS(t)
	a := account(t, quota.Limits{SoftBytes: 100, HardBytes: 1000})
	f := newTree(t, tree.View{Mounts: []tree.Mount{{FS: inner, Quotas: []*quota.Account{a}}}, Rules: []tree.Rule{{Allow: tree.All}}})
	file, err := f.Open(vfstest.Path(t, "/a"), vfs.Write|vfs.Create, 0)
	must(t, err)
	for off := int64(0); off < 300; off += 100 {
		_, err = file.WriteAt(make([]byte, 100), off)
		must(t, err)
	}
	must(t, file.Close())
	for _, flag := range []vfs.Flag{vfs.Write | vfs.Create, vfs.Write | vfs.Create | vfs.Truncate} {
		if err := openFor(t, f, "/b", flag); !errors.Is(err, vfs.ErrQuota) {
			t.Errorf("a new one: %v", err)
		}
	}
	must(t, openFor(t, f, "/a", vfs.Write))
	must(t, f.Remove(vfstest.Path(t, "/a")))
	must(t, openFor(t, f, "/b", vfs.Write|vfs.Create))
}

func account(t testing.TB, l quota.Limits) *quota.Account {
	t.Helper()
	a, err := quota.Open(quota.File(filepath.Join(t.TempDir(), "q")), l, nil)
	must(t, err)
	return a
}

func TestQuotasCountWhatIsStored(t *testing.T) {
	inner, dir := newVFS(t)
	own, group := account(t, quota.Limits{HardBytes: 1000, HardFiles: 3}), account(t, quota.Limits{HardBytes: 5000})
	f := newTree(t, tree.View{Mounts: []tree.Mount{{FS: inner, Quotas: []*quota.Account{own, group}}}, Rules: []tree.Rule{{Allow: tree.All}}})
	want := func(step string, bytes, files int64) {
		t.Helper()
		for _, a := range []*quota.Account{own, group} {
			if use, _ := a.Use(); use != (quota.Use{Bytes: bytes, Files: files}) {
				t.Errorf("%s: counted %+v, not %d bytes in %d files", step, use, bytes, files)
			}
		}
	}
	vfstest.Put(t, f, "/a", make([]byte, 600))
	want("upload", 600, 1)
	vfstest.Put(t, f, "/a", make([]byte, 300))
	want("replace", 300, 1)
	must(t, f.Rename(vfstest.Path(t, "/a"), vfstest.Path(t, "/b"), false))
	vfstest.Put(t, f, "/a", make([]byte, 200))
	must(t, f.Rename(vfstest.Path(t, "/a"), vfstest.Path(t, "/b"), true))
	want("rename onto a file", 200, 1)
	size := int64(50)
	must(t, f.SetStat(vfstest.Path(t, "/b"), vfs.Change{Size: &size}))
	want("shorten", 50, 1)

	file, err := f.Open(vfstest.Path(t, "/big"), vfs.Write|vfs.Create, 0)
	must(t, err)
	_, err = file.WriteAt(make([]byte, 900), 0)
	must(t, err)
	if _, err := file.WriteAt(make([]byte, 900), 900); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("beyond the quota: %v", err)
	}
	if err := file.Close(); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("close after it: %v", err)
	}
	want("refused upload, kept for its resume", 950, 2)
	if _, err := os.Lstat(filepath.Join(dir, "big")); err == nil {
		t.Error("the part of a file stands under its name")
	}
	must(t, f.Remove(vfstest.Path(t, "/big")))
	want("remove", 50, 1)
	huge := int64(1) << 40
	if err := f.SetStat(vfstest.Path(t, "/b"), vfs.Change{Size: &huge}); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("a size set before the writes: %v", err)
	}
	want("refused size", 50, 1)
	for _, name := range []string{"/c", "/d"} {
		vfstest.Put(t, f, name, nil)
	}
	if err := openFor(t, f, "/e", vfs.Write|vfs.Create); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("a file too many: %v", err)
	}
	want("empty files", 50, 3)
	space, err := f.StatFS(vfs.Root)
	must(t, err)
	if space.Total != 1000 || space.Free != 950 || space.FreeFiles != 0 {
		t.Errorf("room: %+v", space)
	}
	aborted, err := f.Open(vfstest.Path(t, "/c"), vfs.Write|vfs.Truncate, 0)
	must(t, err)
	_, err = aborted.WriteAt(make([]byte, 100), 0)
	must(t, errors.Join(err, aborted.Abort()))
	want("aborted upload, kept", 150, 3)
	must(t, own.Recount(t.Context(), inner))
	if use, _ := own.Use(); use.Bytes != 150 {
		t.Errorf("counted again: %+v", use)
	}
}

func TestSpeedLimitsEndWithTheSession(t *testing.T) {
	inner, _ := newVFS(t)
	ctx, cancel := context.WithCancel(t.Context())
	f, err := tree.New(ctx, tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: tree.All}}, Up: speed.New(1)})
	must(t, err)
	file, err := f.Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Create, 0)
	must(t, err)
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := file.WriteAt(make([]byte, 1<<20), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, file.Abort())
}

func TestRightsThatAreTakenAwayHoldAtOnce(t *testing.T) {
	inner, _ := newVFS(t)
	f := newTree(t, tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: tree.All}}})
	vfstest.Put(t, f, "/f", bytes.Repeat([]byte("x"), 10))
	must(t, f.Replace(tree.View{Mounts: home(inner), Rules: []tree.Rule{{Allow: tree.List}}}))
	if err := openFor(t, f, "/f", vfs.Read); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	if err := f.Replace(tree.View{}); err == nil {
		t.Error("a user without a home was taken")
	}
}

func TestRandomWorkGivesWhatAModelGives(t *testing.T) {
	inner, _ := newVFS(t)
	q := account(t, quota.Limits{HardBytes: 1 << 30})
	f := newTree(t, tree.View{Mounts: []tree.Mount{{FS: inner, Quotas: []*quota.Account{q}}}, Rules: []tree.Rule{{Allow: tree.All}}})
	vfstest.Random(t, f, 1, 500)
	counted, _ := q.Use()
	must(t, q.Recount(t.Context(), inner))
	if use, _ := q.Use(); use.Files != counted.Files {
		t.Errorf("counted %+v, there are %+v", counted, use)
	}
}
