package web

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

func TestWhatIsToldOfTheNodeIsLookedUpOnceAMinute(t *testing.T) {
	w := furnished(t)
	asked := 0
	w.pages.Facts = func() Facts { asked++; return Facts{Started: start} }
	b := w.as("sa")
	for range 5 {
		b.get("/").get("/sites/main/users")
	}
	if asked != 1 {
		t.Errorf("asked for %d times", asked)
	}
	w.pass(time.Minute)
	b.get("/")
	b.get("/backup")
	b.post("/backup/snapshot", url.Values{"csrf": {csrfOf(b)}}).says(http.StatusOK, "The snapshot is made")
	if asked != 3 {
		t.Errorf("asked for %d times: not anew after a minute, and after a snapshot", asked)
	}
}

func TestTheOverviewWarnsWhereThereIsNoBackupThoughThereAreSnapshots(t *testing.T) {
	w := furnished(t)
	facts := Facts{Started: start, Snapshot: start}
	w.pages.Facts = func() Facts { return facts }
	b := w.as("sa").says(http.StatusOK, "No backup was made yet", `href="/backup"`)
	facts.Backup = start.Add(-24 * time.Hour)
	w.pass(time.Minute)
	b.get("/").says(http.StatusOK, "Last backup").keepsQuiet("No backup was made yet", "The last backup was made")
	facts.Backup = start.Add(-40 * 24 * time.Hour)
	w.pass(time.Minute)
	b.get("/").says(http.StatusOK, "The last backup was made 40 days ago")
}

func TestStorageWhoseFolderCannotBeOpenedIsNamedOnTheOverviewAndItsPage(t *testing.T) {
	w := furnished(t)
	var gone []sites.FolderProblem
	w.pages.Facts = func() Facts { return Facts{Started: start, Snapshot: start, Backup: start, Folders: gone} }
	b := w.as("sa").keepsQuiet("no such folder")
	gone = []sites.FolderProblem{{VFS: model.VFSKey("main", "files"), Problem: "no such folder"}}
	w.pass(time.Minute)
	b.get("/").says(http.StatusOK, "Storage files of the site main: no such folder.", `href="/sites/main/vfs/files"`)
	b.get("/sites/main/vfs").says(http.StatusOK, "badge bad", "<small>No such folder")
}

func TestTheOverviewWarnsOfACertificateThatEndsSoon(t *testing.T) {
	w := furnished(t)
	w.pages.Facts = func() Facts { return Facts{Started: start, Snapshot: start, Backup: start} }
	w.write(&model.Certificate{Head: model.Head{Name: "next"}, Type: model.CertSelfSigned, NotAfter: start.Add(10 * 24 * time.Hour)}, &model.Certificate{Head: model.Head{Name: "later"}, Type: model.CertSelfSigned, NotAfter: start.Add(100 * 24 * time.Hour)})
	w.as("sa").says(http.StatusOK, "The certificate next ends on 2 Dec 2026", `href="/certificates/next"`).keepsQuiet("The certificate later")
}

func TestAMissingSnapshotIsTakenForATroubleOnlyWhenOneIsOverdue(t *testing.T) {
	w := furnished(t)
	w.pages.Facts = func() Facts { return Facts{Started: start, Backup: start} }
	w.as("sa").keepsQuiet("no fresh copy")
	w.pass(3 * 24 * time.Hour)
	w.as("sa").says(http.StatusOK, "no fresh copy")
}
