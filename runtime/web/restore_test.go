package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// fakeReport is the report of an import that drops a user with a hostile name.
type fakeReport struct{}

func (fakeReport) MarshalJSON() ([]byte, error) { return json.Marshal("the report") }
func (fakeReport) Summary() string              { return "2 objects: 1 imported" }
func (fakeReport) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, "the report")
	return err
}

func (fakeReport) WriteHTML(w io.Writer) error {
	_, err := io.WriteString(w, "<style></style><h1>the report</h1>")
	return err
}

func (fakeReport) WriteContent(w io.Writer, _ int) error {
	_, err := io.WriteString(w, "<ul><li>user cloudy: dropped</li></ul>")
	return err
}

// fakeRestorer takes files by what they say: "lossy", "own", and "sealed" with the
// passphrase of goodPassword; all else is refused.
type fakeRestorer struct {
	mu    sync.Mutex
	put   []string
	by    string
	fails error
	// hold keeps the end back.
	hold chan struct{}
	// intake is told of the server that starts anew; nil where the test does that.
	intake *Intake
	looks  int
}

func (f *fakeRestorer) Products() []string { return []string{"v7", "v6"} }

func (f *fakeRestorer) Look(_ context.Context, in Incoming) (*Outlook, error) {
	f.mu.Lock()
	f.looks++
	f.mu.Unlock()
	text, err := os.ReadFile(in.Path)
	switch {
	case err != nil:
		return nil, err
	case string(text) == "lossy" && in.Node == "n2":
		return &Outlook{Product: "Version 6", Version: "6.2.60", Report: fakeReport{}, Losses: "nothing of n2"}, nil
	case string(text) == "lossy":
		return &Outlook{Product: "Version 6", Version: "6.2.60", Report: fakeReport{}, Losses: "one user"}, nil
	case string(text) == "own", string(text) == "sealed" && in.Passphrase == goodPassword:
		return &Outlook{Product: "SS Server", Version: "7.0.0", Node: "n1", Made: start, Counts: []KindCount{{model.KindUser, 1234}}}, nil
	case string(text) == "sealed":
		return nil, &FileError{Field: "passphrase", Err: errors.New("the backup is encrypted; give the passphrase")}
	}
	return nil, &FileError{Err: fmt.Errorf("%s: it is a letter", in.Path)}
}

func (f *fakeRestorer) PutInForce(_ context.Context, in Incoming, seen *Outlook, by, _ string, tell func(string), end func(Ending, error)) error {
	tell("reading the backup")
	f.mu.Lock()
	f.put, f.by = append(f.put, in.Name), by
	f.mu.Unlock()
	go func() {
		if f.hold != nil {
			<-f.hold
		}
		done := Ending{Kept: "/var/snapshots/before.db.zst"}
		if seen.Report != nil {
			done.Report = fakeReport{}
		}
		end(done, f.fails)
		if f.intake != nil {
			f.intake.Use(f)
		}
	}()
	return nil
}

func (f *fakeRestorer) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put
}

// fakeBackups makes a backup of a few bytes.
type fakeBackups struct {
	dir        string
	passphrase string
	by         string
	snapshots  []store.Snapshot
	// hold keeps the backup from being done; fails is why it is not.
	hold  chan struct{}
	fails error
}

func (f *fakeBackups) Make(ctx context.Context, by, _, passphrase string) (*Backup, error) {
	f.by, f.passphrase = by, passphrase
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.fails != nil {
		return nil, f.fails
	}
	file, err := os.Create(filepath.Join(f.dir, "backup"))
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteString("all that is configured"); err != nil {
		return nil, err
	}
	header := backup.Header{Node: "n1", Version: "7.0.0", Made: start}
	return &Backup{Content: file, Size: 22, Summary: backup.Summary{Header: header, Objects: map[string]int{"user": 3}, Encrypted: passphrase != ""}}, err
}

func (f *fakeBackups) Snapshots() ([]store.Snapshot, error) { return f.snapshots, nil }

func (f *fakeBackups) TakeSnapshot(string, string) error {
	f.snapshots = append(f.snapshots, store.Snapshot{Path: "/var/snapshots/x.db.zst", Made: start, Reason: "manual", Size: 2048})
	return nil
}

func (f *fakeBackups) Hour() int { return 3 }

// uploaded is a furnished world whose pages take files of at most 1,000 bytes.
func uploaded(t *testing.T) (*world, *fakeRestorer, string) {
	w := furnished(t)
	f, dir := &fakeRestorer{}, t.TempDir()
	w.restorer, w.intake = f, NewIntake(w.now, slog.New(slog.DiscardHandler))
	w.intake.Open(dir)
	f.intake = w.intake
	w.restart()
	t.Cleanup(func() {
		if err := w.pages.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, f, dir
}

// upload sends the form of the page of restores with a file.
func (b *browser) upload(typed url.Values, name, content string) *browser {
	b.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for field, values := range typed {
		for _, value := range values {
			check(b.w.t, form.WriteField(field, value))
		}
	}
	part, err := form.CreateFormFile("file", name)
	check(b.w.t, err)
	_, err = io.WriteString(part, content)
	check(b.w.t, err)
	check(b.w.t, form.Close())
	r := httptest.NewRequest(http.MethodPost, "https://server/restore", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return b.do(r)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sent is what a browser sends with a file.
func sent(b *browser) url.Values { return url.Values{"csrf": {csrfOf(b)}, "page": {"/restore"}} }

// until looks at the page again until it says a text.
func (b *browser) until(text string) *browser {
	b.w.t.Helper()
	for range 200 {
		if b.get(b.path); strings.Contains(plain(b.page), text) {
			return b
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.w.t.Fatalf("%s never says %q: %s", b.path, text, b.words())
	return b
}

// filesIn are the uploaded files that lie in a folder.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, uploadPattern, "*"))
	check(t, err)
	return found
}

func TestAnImportShowsWhatIsLostAndWantsItAgreedTo(t *testing.T) {
	w, f, dir := uploaded(t)
	b := w.as("sa").get("/restore").says(http.StatusOK, "Look what would happen", `data-most="1000"`)
	b.upload(sent(b), "v6.zip", "lossy").says(http.StatusOK, "v6.zip", "6.2.60", "user cloudy: dropped", "Lost or not as before", "one user", "Nothing was changed yet")
	page := b.path
	agree := url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "accept": {"true"}, "replace": {"true"}}
	for field, text := range map[string]string{"accept": "Tick this if what is lost may be lost", "replace": "may be replaced", "seen": "looked at anew since the page was shown"} {
		form := url.Values{}
		for name, values := range agree {
			if name != field {
				form[name] = values
			}
		}
		b.post(page+"/import", form).says(http.StatusUnprocessableEntity, text)
	}
	if len(f.done()) > 0 {
		t.Fatal("it was imported without consent")
	}
	b.post(page+"/import", agree)
	b.path = page
	b.until("In force").says(http.StatusOK, "kept as", "before.db.zst", "report.html")
	if got := f.done(); len(got) != 1 || f.by != "superadmin/sa" {
		t.Errorf("put %v by %s", got, f.by)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error("the file still lies there", left)
	}
	for name, media := range map[string]string{"report.html": "text/html; charset=utf-8", "report.txt": "text/plain; charset=utf-8", "report.json": "application/json"} {
		b.get(page+"/"+name).says(http.StatusOK, "the report")
		if b.header.Get("Content-Type") != media || !strings.HasPrefix(b.header.Get("Content-Disposition"), "attachment;") {
			t.Error(name, b.header)
		}
	}
	b.get(page + "/report.exe").says(http.StatusNotFound)
}

// seenBy is the number of the look that a page shows.
func seenBy(b *browser) string {
	b.w.t.Helper()
	found := regexp.MustCompile(`name="seen" value="([A-Z2-7]+)"`).FindStringSubmatch(b.page)
	if found == nil {
		b.w.t.Fatalf("%s shows no look: %s", b.path, b.words())
	}
	return found[1]
}

func TestOneAgreesToWhatHeHasSeenAndNotToWhatAnotherLookedFor(t *testing.T) {
	w, f, _ := uploaded(t)
	w.write(&model.SuperAdmin{Head: model.Head{Name: "second"}, Contact: model.Contact{Email: "second@example.com", Password: passwordOf(t, w)}})
	a, b := w.as("sa").get("/restore"), w.as("second").get("/restore")
	a.upload(sent(a), "b.zip", "own").says(http.StatusOK, "1,234")
	b.post(a.path+"/look", url.Values{"csrf": {csrfOf(b)}, "take": {"true"}}).says(http.StatusOK, "1,234")
	agree := url.Values{"csrf": {csrfOf(a)}, "seen": {seenBy(a)}, "replace": {"true"}}
	a.post(a.path+"/import", agree).says(http.StatusUnprocessableEntity, "looked at anew since the page was shown")
	if len(f.done()) > 0 {
		t.Fatal("it was restored as the other wanted it")
	}
	id := strings.TrimPrefix(b.path, "/restore/")
	if w.intake.put(id, agree.Get("seen"), "superadmin/sa", "") == nil || w.intake.put(id, seenBy(b), "superadmin/second", "") != nil {
		t.Error("what is put in force is not what was seen")
	}
}

func TestAFileOfSeveralNodesIsLookedAtAgainForTheOneThatIsSaid(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/restore").says(http.StatusOK, `name="node"`)
	b.upload(sent(b), "v6.zip", "lossy").says(http.StatusOK, "one user", `name="node"`)
	b.post(b.path+"/look", url.Values{"csrf": {csrfOf(b)}, "node": {" n2 "}}).says(http.StatusOK, "nothing of n2", `name="node" value="n2"`)
}

func TestTheEndOfARestoreIsFoundByWhoSignsInAgain(t *testing.T) {
	w, f, _ := uploaded(t)
	f.hold = make(chan struct{})
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "b.zip", "own").says(http.StatusOK, "1,234", "Restore")
	page := b.path
	b.post(page+"/import", url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "replace": {"true"}}).says(http.StatusOK, "being replaced", "the server starts anew")
	// The pages of the server that starts anew are others; the intake is the same.
	w.restart()
	close(f.hold)
	again := w.as("sa")
	again.path = page
	again.until("In force")
	again.get("/restore").says(http.StatusOK, "b.zip", "In force")
}

func TestWhatWaitsBehindARestoreIsDoneByTheServerOfThen(t *testing.T) {
	w, before, _ := uploaded(t)
	before.hold, before.intake = make(chan struct{}), nil
	b := w.as("sa")
	var pages []string
	for range 2 {
		b.get("/restore")
		pages = append(pages, b.upload(sent(b), "own.zip", "own").says(http.StatusOK, "1,234").path)
	}
	restore := func(page string) *browser {
		b.get(page)
		return b.post(page+"/import", url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "replace": {"true"}})
	}
	restore(pages[0]).says(http.StatusOK, "being replaced")
	b.path = pages[0]
	b.until("reading the backup")
	restore(pages[1]).says(http.StatusConflict, "Another file is being put in force", "Put it in force")
	b.get("/restore")
	third := b.upload(sent(b), "own.zip", "own").says(http.StatusOK, "It is being read").path
	after := &fakeRestorer{intake: w.intake}
	w.restorer = after
	w.restart()
	close(before.hold)
	b.path = third
	b.until("1,234")
	b.path = pages[0]
	b.until("In force")
	restore(pages[1])
	b.path = pages[1]
	b.until("In force")
	before.mu.Lock()
	defer before.mu.Unlock()
	if len(before.put) != 1 || before.looks != 2 || len(after.done()) != 1 {
		t.Errorf("the server of before put %v in force and looked %d times, the one of now put %v", before.put, before.looks, after.done())
	}
}

func TestARestoreThatFailsSaysWhyAndThatNothingWasChanged(t *testing.T) {
	w, f, _ := uploaded(t)
	f.fails = errors.New("the disk is full")
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "b.zip", "own")
	page := b.path
	b.post(page+"/import", url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "replace": {"true"}})
	b.path = page
	b.until("The disk is full. The configuration of before is in force")
	b.post(page+"/remove", url.Values{"csrf": {csrfOf(b)}}).says(http.StatusOK, "The file was removed")
	b.get(page).says(http.StatusNotFound)
}

func TestMoreLossesThanWereSeenAreLookedAtAgainWithoutAnotherUpload(t *testing.T) {
	w, f, dir := uploaded(t)
	f.fails = &FileError{Field: LossesField, Err: errors.New("more would be lost; look at it again")}
	b := w.as("sa").get("/restore")
	page := b.upload(sent(b), "v6.zip", "lossy").path
	b.post(page+"/import", url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "accept": {"true"}, "replace": {"true"}})
	b.path = page
	b.until("More would be lost; look at it again. The configuration of before is in force")
	if !strings.Contains(b.page, `class="button primary" type="submit">Look at it again`) || strings.Contains(b.page, `/import"`) {
		t.Error("it does not offer another look first:", b.words())
	}
	b.post(page+"/look", url.Values{"csrf": {csrfOf(b)}}).says(http.StatusOK, "Nothing was changed yet", "Import")
	if len(filesIn(t, dir)) != 1 {
		t.Error("the file is not there any more")
	}
}

func TestAnEncryptedBackupAsksForItsPassphraseAndKeepsTheFile(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "b.zip.age", "sealed").says(http.StatusUnprocessableEntity, "The backup is encrypted; give the passphrase")
	if !regexp.MustCompile(`id="passphrase"[^>]*aria-invalid="true"`).MatchString(b.page) {
		t.Error("it is not said beside the field")
	}
	page := b.path
	b.post(page+"/look", url.Values{"csrf": {csrfOf(b)}, "passphrase.clear": {goodPassword}}).says(http.StatusOK, "1,234").keepsQuiet(goodPassword)
	if len(filesIn(t, dir)) != 1 {
		t.Error("the file is not there")
	}
}

func TestPassphrasesOfAFileThatIsRefusedAreForgotten(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/restore").says(http.StatusOK, "kept in memory until the file is in force or removed")
	form := sent(b)
	form.Set("passphrase.clear", "not the right words")
	form.Set("passwords.clear", "one\ntwo")
	b.upload(form, "b.zip.age", "sealed").says(http.StatusUnprocessableEntity, "give the passphrase")
	for _, a := range w.intake.list() {
		if a.Passphrase != "" || a.Passwords != nil {
			t.Errorf("%q and %q are kept", a.Passphrase, a.Passwords)
		}
	}
}

func TestAFileThatIsNoBackupIsRefusedWithoutTellingWhereItLies(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "letter.txt", "Dear Sir or Madam").says(http.StatusUnprocessableEntity, "It is a letter", "Nothing was changed").keepsQuiet(dir, "upload-")
	b.get("/restore").says(http.StatusOK, "letter.txt", "Refused")
}

func TestAFileThatIsTooLargeOrMissingIsRefusedBesideItsField(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa").get("/restore")
	form := sent(b)
	form.Set("from", "v6")
	b.upload(form, "big.zip", strings.Repeat("x", 1001)).says(http.StatusRequestEntityTooLarge, "more than 1000 B", `<option value="v6" selected>`)
	if !regexp.MustCompile(`id="file"[^>]*aria-invalid="true"`).MatchString(b.page) {
		t.Error("it is not said beside the field")
	}
	b.upload(sent(b), "", "").says(http.StatusUnprocessableEntity, "No file came")
	b.upload(sent(b), "fits.zip", strings.Repeat("x", 1000)).says(http.StatusUnprocessableEntity, "It is a letter")
	if len(filesIn(t, dir)) != 1 {
		t.Error("what was refused lies there")
	}
}

func TestAnUploadThatIsCutLeavesNothing(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa").get("/restore")
	text := "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n" + csrfOf(b) +
		"\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\nhalf of i"
	r := httptest.NewRequest(http.MethodPost, "https://server/restore", strings.NewReader(text))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	b.do(r).says(http.StatusUnprocessableEntity, "did not come whole")
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestNoMoreFilesAreTakenThanThereIsRoomFor(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa")
	for range maxIncoming {
		b.get("/restore")
		b.upload(sent(b), "own.zip", "own").says(http.StatusOK)
	}
	b.get("/restore")
	b.upload(sent(b), "own.zip", "own").says(http.StatusUnprocessableEntity, "wait here already")
	w.pass(incomingLife)
	w.as("sa").get("/restore").keepsQuiet("own.zip")
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error("nobody came back for them, and they lie there", left)
	}
}

func TestAFileOnItsWayHasItsPlaceAlready(t *testing.T) {
	i := NewIntake(time.Now, slog.New(slog.DiscardHandler))
	i.Open(t.TempDir())
	var coming sync.WaitGroup
	begun, goOn := make(chan struct{}, maxIncoming), make(chan struct{})
	for range maxIncoming {
		coming.Go(func() {
			_, err := i.receive(&slowReader{begun: begun, goOn: goOn}, "a.zip", -1, 100)
			if !errors.Is(err, errEmpty) {
				t.Error(err)
			}
		})
	}
	for range maxIncoming {
		<-begun
	}
	if _, err := i.receive(strings.NewReader("one too many"), "a.zip", -1, 100); !errors.Is(err, errIntakeFull) {
		t.Error("one more was taken:", err)
	}
	close(goOn)
	coming.Wait()
	if _, err := i.receive(strings.NewReader("own"), "a.zip", -1, 100); err != nil {
		t.Error("the places were not given back:", err)
	}
}

// slowReader has nothing, and says so only when it may.
type slowReader struct{ begun, goOn chan struct{} }

func (s *slowReader) Read([]byte) (int, error) {
	s.begun <- struct{}{}
	<-s.goOn
	return 0, io.EOF
}

func TestAnUploadLeavesTheStoreRoomToWrite(t *testing.T) {
	w, _, dir := uploaded(t)
	free := int64(leastFree)
	w.intake.Room = func(string) (int64, error) { return free, nil }
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "big.zip", strings.Repeat("x", 1000)).says(http.StatusInsufficientStorage, "64 MiB are free where "+dir+" lies", "ss-server restore FILE", "ss-server import FILE")
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error(left)
	}
	// What was not announced is looked at while it comes.
	free = leftFree
	endless := &fillingReader{fill: func() { free-- }}
	if _, err := w.intake.receive(endless, "big.zip", -1, 1<<40); !errors.Is(err, errNoRoom) || endless.n > 2*roomLook {
		t.Errorf("%d bytes were taken: %v", endless.n, err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestASmallFileNeedsLessRoomThanALargeOne(t *testing.T) {
	w, _, _ := uploaded(t)
	w.intake.Room = func(string) (int64, error) { return 100 << 20, nil }
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "own.zip", "own").says(http.StatusOK, "Nothing was changed yet")
	for size, fits := range map[int64]bool{2 << 20: true, 3 << 20: false} {
		if err := w.intake.roomFor(0, size); (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	w.intake.Room = func(string) (int64, error) { return leftFree + maxUpload, nil }
	if err := w.intake.roomFor(0, maxUpload); err != nil {
		t.Error("the largest file needs more than 1 GiB besides:", err)
	}
}

// fillingReader has no end.
type fillingReader struct {
	n    int64
	fill func()
}

func (r *fillingReader) Read(p []byte) (int, error) {
	r.fill()
	r.n += int64(len(p))
	return len(p), nil
}

func TestWhatAKilledServerHasLeftOfUploadsGoes(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "upload-1.part", "x"), 0o700))
	i := NewIntake(time.Now, slog.New(slog.DiscardHandler))
	i.Open(dir)
	if left, _ := filepath.Glob(filepath.Join(dir, uploadPattern)); len(left) > 0 {
		t.Error(left)
	}
}

func TestAnUploadWithoutTheTokenOfItsPageIsNotRead(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa")
	for _, token := range []string{"", "forged", csrfOf(w.as("sa").get("/restore"))} {
		b.upload(url.Values{"csrf": {token}}, "v6.zip", "lossy").says(http.StatusForbidden, "That form is of another session")
	}
	stranger := w.browser()
	stranger.cookies["__Host-ss-session"] = "forged"
	stranger.upload(url.Values{"csrf": {"forged"}}, "v6.zip", "lossy").says(http.StatusUnauthorized, "Sign in")
	if left := filesIn(t, dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestOnlySuperAdminsReachBackupsAndRestores(t *testing.T) {
	w, f, dir := uploaded(t)
	sa := w.as("sa").get("/restore")
	page := sa.upload(sent(sa), "own.zip", "own").path
	b := w.as("otto").keepsQuiet("/backup", "/restore")
	for _, path := range []string{"/backup", "/restore", page, page + "/report.html"} {
		b.get(path).says(http.StatusForbidden, "Not allowed")
	}
	b.get("/")
	form := url.Values{"csrf": {csrfOf(b)}, "replace": {"true"}, "clear": {"true"}}
	for _, path := range []string{"/backup", "/backup/snapshot", page + "/import", page + "/remove", page + "/look"} {
		b.post(path, form).says(http.StatusForbidden, "Not allowed")
	}
	b.upload(url.Values{"csrf": {form.Get("csrf")}}, "x.zip", "own").says(http.StatusForbidden)
	if len(f.done()) > 0 || len(filesIn(t, dir)) != 1 || w.backups.(*fakeBackups).by != "" {
		t.Error("something was done")
	}
}

func TestFormsOfBackupAndRestoreWantTheTokenOfTheirSession(t *testing.T) {
	w, f, dir := uploaded(t)
	b := w.as("sa").get("/restore")
	page := b.upload(sent(b), "own.zip", "own").path
	for _, path := range []string{"/backup", "/backup/snapshot", page + "/import", page + "/remove", page + "/look"} {
		b.post(path, url.Values{"csrf": {"forged"}, "replace": {"true"}, "clear": {"true"}}).says(http.StatusForbidden, "That form is of another session")
	}
	if len(f.done()) > 0 || len(filesIn(t, dir)) != 1 || w.backups.(*fakeBackups).by != "" {
		t.Error("something was done")
	}
}

var storedName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func TestNamesOfUploadedFilesAreTextAndStayInTheirFolder(t *testing.T) {
	w, _, dir := uploaded(t)
	b := w.as("sa")
	for _, name := range []string{`<script>alert(1)</script>.zip`, `..\..\x.zip`, "../../x.zip", `"onload="x`, strings.Repeat("long", 200)} {
		b.get("/restore")
		b.upload(sent(b), name, "own").says(http.StatusOK)
		for _, page := range []string{b.page, b.get("/restore").page} {
			if strings.Contains(page, "<script>alert") || strings.Contains(page, `"onload=`) {
				t.Errorf("%s is more than text", name)
			}
		}
		for _, file := range filesIn(t, dir) {
			if !storedName.MatchString(filepath.Base(file)) {
				t.Error(file)
			}
		}
		for _, a := range w.intake.list() {
			w.intake.discard(a.ID)
		}
	}
}

func TestABackupIsMadeAndDownloadedByWhoMadeIt(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/backup").says(http.StatusOK, "There is no snapshot yet", "03:00")
	form := url.Values{"csrf": {csrfOf(b)}, "passphrase.clear": {goodPassword}, "again.clear": {goodPassword}}
	b.post("/backup", form).says(http.StatusOK, "Ready to download", "22 B", "Encrypted", "3 objects of n1", "ss-server-n1-20261122-1000.zip.age").keepsQuiet(goodPassword)
	made := w.backups.(*fakeBackups)
	if made.passphrase != goodPassword || made.by != "superadmin/sa" {
		t.Errorf("%+v", made)
	}
	file := regexp.MustCompile(`href="(/backup/[A-Z2-7]+)"`).FindStringSubmatch(b.page)
	b.get(file[1])
	if b.page != "all that is configured" || b.header.Get("Content-Length") != "22" || b.header.Get("Content-Disposition") != `attachment; filename="ss-server-n1-20261122-1000.zip.age"` {
		t.Error(b.page, b.header)
	}
	w.write(&model.SuperAdmin{Head: model.Head{Name: "second"}, Contact: model.Contact{Email: "second@example.com", Password: passwordOf(t, w)}})
	w.as("second").get(file[1]).says(http.StatusNotFound, "make another")
}

func TestABackupThatTakesLongIsMadeWithoutThePage(t *testing.T) {
	w, _, _ := uploaded(t)
	fake := w.backups.(*fakeBackups)
	fake.hold = make(chan struct{})
	b := w.as("sa").get("/backup")
	form := url.Values{"csrf": {csrfOf(b)}, "clear": {"true"}}
	r := httptest.NewRequest(http.MethodPost, "https://server/backup", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, leave) // the browser is closed
	b.do(r.WithContext(ctx)).says(http.StatusOK, "A backup is being made", "data-working>").keepsQuiet("Ready to download")
	b.post("/backup", form).says(http.StatusConflict, "A backup is being made right now")
	close(fake.hold)
	b.path = "/backup"
	b.until("Ready to download").keepsQuiet("data-working>")
	fake.fails = errors.New("the disk is full")
	b.post("/backup", form).says(http.StatusOK, "could not be made", "Ready to download")
	fake.fails = nil
	b.post("/backup", form).says(http.StatusOK, "The backup is made").keepsQuiet("could not be made")
}

func TestTheEndOfTheServerEndsABackupThatIsBeingMade(t *testing.T) {
	w, _, _ := uploaded(t)
	w.backups.(*fakeBackups).hold = make(chan struct{})
	b := w.as("sa").get("/backup")
	b.post("/backup", url.Values{"csrf": {csrfOf(b)}, "clear": {"true"}}).says(http.StatusOK, "A backup is being made")
	check(t, w.pages.Close()) // it would wait for ever
}

func TestABackupIsDownloadedWhileAnotherDownloadOfItStandsStill(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/backup")
	b.post("/backup", url.Values{"csrf": {csrfOf(b)}, "clear": {"true"}})
	file := regexp.MustCompile(`href="(/backup/[A-Z2-7]+)"`).FindStringSubmatch(b.page)[1]
	ask := func(part string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "https://server"+file, nil)
		r.AddCookie(&http.Cookie{Name: "__Host-ss-session", Value: b.cookies["__Host-ss-session"]})
		r.Header.Set("Range", part)
		return r
	}
	slow := slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { w.pages.ServeHTTP(slow, ask("bytes=0-")) })
	<-slow.begun
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, ask("bytes=4-7"))
	if rec.Code != http.StatusPartialContent || rec.Body.String() != "that" {
		t.Errorf("%d, %q", rec.Code, rec.Body)
	}
	close(slow.goOn)
	reading.Wait()
}

func passwordOf(t testing.TB, w *world) model.Password {
	t.Helper()
	hash, err := w.api.Hasher.Hash(t.Context(), []byte(goodPassword))
	check(t, err)
	return model.Password{Hash: hash, Changed: start}
}

func TestABackupWithoutAPassphraseHasToBeWanted(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/backup")
	for text, form := range map[string]url.Values{
		"It is empty":                     {},
		"There is a passphrase, too":      {"passphrase.clear": {goodPassword}, "again.clear": {goodPassword}, "clear": {"true"}},
		"It is too short":                 {"passphrase.clear": {"short"}, "again.clear": {"short"}},
		"It is not the same. Type the pa": {"passphrase.clear": {goodPassword}, "again.clear": {"another horse battery"}},
	} {
		form.Set("csrf", csrfOf(b))
		b.post("/backup", form).says(http.StatusUnprocessableEntity, text)
	}
	if w.backups.(*fakeBackups).by != "" {
		t.Fatal("one was made")
	}
	b.post("/backup", url.Values{"csrf": {csrfOf(b)}, "clear": {"true"}}).says(http.StatusOK, "Readable for everybody who has the file")
	b.post("/backup/snapshot", url.Values{"csrf": {csrfOf(b)}}).says(http.StatusOK, "The snapshot is made", "2 KiB", "/var/snapshots/x.db.zst")
}

func TestPasswordsOfTheLookBeforeCountUntilOthersAreTyped(t *testing.T) {
	w, _, _ := uploaded(t)
	b := w.as("sa").get("/restore").keepsQuiet("still count")
	form := sent(b)
	form.Set("passphrase.clear", "the passphrase")
	form.Set("passwords.clear", "one\r\ntwo")
	b.upload(form, "v6.zip", "lossy").says(http.StatusOK, "still count").keepsQuiet("the passphrase")
	page := b.path
	told := func(passphrase string, passwords ...string) {
		t.Helper()
		b.says(http.StatusOK, "still count")
		if a := w.intake.list()[0]; a.Passphrase != passphrase || !slices.Equal(a.Passwords, passwords) {
			t.Errorf("%q and %q", a.Passphrase, a.Passwords)
		}
	}
	b.post(page+"/look", url.Values{"csrf": {csrfOf(b)}, "node": {"n2"}, "passphrase.clear": {""}, "passwords.clear": {""}}).says(http.StatusOK, "nothing of n2")
	told("the passphrase", "one", "two")
	b.post(page+"/look", url.Values{"csrf": {csrfOf(b)}, "passwords.clear": {"three"}})
	told("the passphrase", "three")
	b.post(page+"/look", url.Values{"csrf": {csrfOf(b)}, "passphrase.clear": {"another"}})
	told("another", "three")
}

func TestOfManyRestoresTheLatestReportsAreKept(t *testing.T) {
	w, f, _ := uploaded(t)
	b := w.as("sa")
	var pages []string
	for n := range keptReports + 2 {
		w.pass(time.Minute)
		b.get("/restore")
		b.upload(sent(b), fmt.Sprintf("%d.zip", n), "own").says(http.StatusOK)
		page := b.path
		b.post(page+"/import", url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "replace": {"true"}})
		b.path = page
		b.until("In force")
		pages = append(pages, page)
	}
	if len(f.done()) != keptReports+2 || len(w.intake.list()) != keptReports {
		t.Errorf("%d were put in force, %d are kept", len(f.done()), len(w.intake.list()))
	}
	b.get(pages[1]).says(http.StatusNotFound)
	b.get(pages[2]).says(http.StatusOK, "in force")
}
