package sites_test

import (
	"os"
	"strings"
	"testing"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

// folders looks until nothing is on its way any more: a loaded machine may be slow.
func folders(w *world, want int) (found []sites.FolderProblem) {
	for range 100 {
		if found = w.Folders(); len(found) == want {
			break
		}
	}
	return found
}

func TestVFSsWhoseFolderCannotBeOpenedAreTold(t *testing.T) {
	w := newWorld(t)
	if found := folders(w, 0); len(found) > 0 {
		t.Error("told of a folder that is there:", found)
	}
	root := w.dir + "/files"
	must(t, os.Rename(root, root+".away"))
	found := folders(w, 1)
	if len(found) != 1 || found[0].VFS != model.VFSKey("main", "files") || !strings.HasPrefix(found[0].Problem, "cannot open "+root) {
		t.Fatalf("%+v", found)
	}
	must(t, os.WriteFile(root, nil, 0o600))
	if found := folders(w, 1); len(found) != 1 || !strings.Contains(found[0].Problem, "no folder") && !strings.Contains(found[0].Problem, "cannot open") {
		t.Errorf("%+v", found)
	}
	must(t, os.Remove(root))
	must(t, os.Rename(root+".away", root))
	if found := folders(w, 0); len(found) > 0 {
		t.Error("told of a folder that is back:", found)
	}
}
