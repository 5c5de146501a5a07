package tree_test

import (
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/tree"
	"ss-setup/runtime/vfs/vfstest"
)

func TestWhereTellsOfAPathWhatATreeWould(t *testing.T) {
	v := tree.View{
		Mounts: []tree.Mount{{At: vfs.Root}, {At: vfstest.Path(t, "/in"), Deny: tree.Link}, {At: vfstest.Path(t, "/in/deep")}},
		Rules: []tree.Rule{
			{At: vfs.Root, Allow: tree.List | tree.Read},
			{At: vfstest.Path(t, "/in"), Allow: tree.List | tree.Upload | tree.Link},
			{At: vfstest.Path(t, "/in/done"), Allow: tree.List},
			{At: vfstest.Path(t, "/in/deep"), Allow: tree.All},
		},
	}
	for path, want := range map[string]struct {
		mount, inner, rule string
		given, allowed     tree.Right
	}{
		"/":           {"/", "/", "/", tree.List | tree.Read, tree.List | tree.Read},
		"/inside":     {"/", "/inside", "/", tree.List | tree.Read, tree.List | tree.Read},
		"/in":         {"/in", "/", "/in", tree.List | tree.Upload | tree.Link, tree.List | tree.Upload},
		"/in/a/b":     {"/in", "/a/b", "/in", tree.List | tree.Upload | tree.Link, tree.List | tree.Upload},
		"/in/done/a":  {"/in", "/done/a", "/in/done", tree.List, tree.List},
		"/in/deep/a":  {"/in/deep", "/a", "/in/deep", tree.All, tree.All},
		"/in/deeper":  {"/in", "/deeper", "/in", tree.List | tree.Upload | tree.Link, tree.List | tree.Upload},
		"/IN/DONE/aA": {"/", "/IN/DONE/aA", "/", tree.List | tree.Read, tree.List | tree.Read},
	} {
		got := v.Where(vfstest.Path(t, path))
		if got.Mount.String() != want.mount || got.Inner.String() != want.inner || got.Rule.String() != want.rule || got.Given != want.given || got.Allowed != want.allowed {
			t.Errorf("%s: %v", path, got)
		}
	}
	for i := range v.Mounts {
		v.Mounts[i].Folds = true
	}
	if got := v.Where(vfstest.Path(t, "/IN/DONE/aA")); got.Mount.String() != "/in" || got.Rule.String() != "/in/done" || got.Inner.String() != "/DONE/aA" {
		t.Errorf("where case does not count: %v", got)
	}
}
