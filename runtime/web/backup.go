package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/store"
)

// Backups makes backups and snapshots of the running server.
type Backups interface {
	// Make makes a backup as of this moment, encrypted where there is a passphrase. The
	// file is gone when it is closed.
	Make(ctx context.Context, by, from, passphrase string) (*Backup, error)
	// Snapshots are those that lie on the machine.
	Snapshots() ([]store.Snapshot, error)
	// TakeSnapshot makes one more.
	TakeSnapshot(by, from string) error
	// Hour is when the daily one is made, in the zone of the machine.
	Hour() int
}

// Backup is one that was made.
type Backup struct {
	Content interface {
		io.ReaderAt
		io.Closer
	}
	// Size is that of the file, in bytes.
	Size    int64
	Summary backup.Summary
}

// backupLife is how long a backup waits to be downloaded; maxBackups how many do.
const (
	backupLife = 15 * time.Minute
	maxBackups = 3
)

// vault has the backups that wait to be downloaded, and the one that is being made. Making
// one goes on when the browser is gone.
type vault struct {
	mu  sync.Mutex
	all map[string]*waitingBackup
	// closed ends what is being made; jobs waits for it.
	closed context.Context
	close  context.CancelFunc
	jobs   sync.WaitGroup
}

// The states of a backup.
const (
	backupMaking = "making"
	backupReady  = "ready"
	backupFailed = "failed"
)

// waitingBackup is one that is made, has none of it while it is being made, or could not be.
type waitingBackup struct {
	*Backup
	ID, By string
	// Made is when it was asked for.
	Made  time.Time
	State string
	timer *time.Timer
	// reading keeps the file open while it is downloaded, by several at once perhaps.
	reading sync.RWMutex
}

// begin takes a backup in that is about to be made; it is false while another is being made.
func (b *vault) begin(w *waitingBackup) (ctx context.Context, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[string]*waitingBackup{}
		b.closed, b.close = context.WithCancel(context.Background())
	}
	for _, other := range b.list() {
		switch {
		case other.State == backupMaking:
			return nil, false
		case other.State == backupFailed && other.By == w.By:
			b.drop(other)
		}
	}
	for len(b.all) >= maxBackups {
		oldest := slices.MinFunc(b.list(), func(x, y *waitingBackup) int { return x.Made.Compare(y.Made) })
		b.drop(oldest)
	}
	w.State = backupMaking
	b.all[w.ID] = w
	return b.closed, true
}

// end takes note of a backup that is made, or of one that could not be.
func (b *vault) end(w *waitingBackup, made *Backup, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.State, w.Backup = backupReady, made
	if err != nil {
		w.State = backupFailed
	}
	w.timer = time.AfterFunc(backupLife, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.drop(w)
	})
	if b.closed.Err() != nil {
		b.drop(w)
	}
}

// drop closes a backup that is not being made; the caller holds mu.
func (b *vault) drop(w *waitingBackup) {
	if b.all[w.ID] != w || w.State == backupMaking {
		return
	}
	delete(b.all, w.ID)
	w.timer.Stop()
	if w.Backup == nil {
		return
	}
	go func() {
		w.reading.Lock()
		defer w.reading.Unlock()
		_ = w.Content.Close() // it was only read
	}()
}

func (b *vault) list() (out []*waitingBackup) {
	for _, w := range b.all {
		out = append(out, w)
	}
	slices.SortFunc(out, func(x, y *waitingBackup) int { return y.Made.Compare(x.Made) })
	return out
}

// backupRow is a backup as it stands now.
type backupRow struct {
	ID, State string
	Made      time.Time
	// The rest is of one that is ready.
	FileName string
	Size     int64
	Summary  backup.Summary
}

// of are those that somebody made.
func (b *vault) of(by string) (out []backupRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.list() {
		if w.By != by {
			continue
		}
		row := backupRow{ID: w.ID, State: w.State, Made: w.Made}
		if w.Backup != nil {
			row.FileName, row.Size, row.Summary = w.FileName(), w.Size, w.Summary
		}
		out = append(out, row)
	}
	return out
}

func (b *vault) get(id, by string) *waitingBackup {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.all[id]; w != nil && w.By == by && w.State == backupReady {
		return w
	}
	return nil
}

// Close ends what goes on behind the pages, and lets go of all backups.
func (p *Pages) Close() error {
	if p.Intake != nil {
		p.Intake.Use(nil)
	}
	p.end()
	p.jobs.Wait()
	b := &p.vault
	b.mu.Lock()
	if b.close != nil {
		b.close()
	}
	for _, w := range b.list() {
		b.drop(w)
	}
	b.mu.Unlock()
	b.jobs.Wait()
	return nil
}

// backupData is what the page of backups shows.
type backupData struct {
	Mine      []backupRow
	Wrong     map[string]string
	Clear     bool
	Snapshots []store.Snapshot
	Hour      string
}

func (p *Pages) backupRoutes() {
	if p.Backups == nil {
		return
	}
	p.page("GET /backup", super(p.backup))
	p.page("POST /backup", super(p.makeBackup))
	p.page("GET /backup/{id}", super(p.downloadBackup))
	p.page("POST /backup/snapshot", super(p.takeSnapshot))
}

func (p *Pages) backup(v *visit) error { return v.showBackup(http.StatusOK, nil) }

func (v *visit) showBackup(status int, wrong map[string]string) error {
	snapshots, err := v.Backups.Snapshots()
	if err != nil {
		return err
	}
	slices.SortFunc(snapshots, func(a, b store.Snapshot) int { return b.Made.Compare(a.Made) })
	data := backupData{
		Mine: v.vault.of(v.who.Name()), Wrong: wrong, Clear: v.r.PostForm.Get("clear") != "", Snapshots: snapshots,
		Hour: fmt.Sprintf("%02d:00", v.Backups.Hour()),
	}
	proof, err := v.proof()
	if err != nil {
		return err
	}
	return v.show(status, "backup", view{Proof: proof, Title: "Backup", Lead: "One file with everything that is configured here: sites, users, keys and settings. The users' own files are not in it.", Data: data})
}

func (p *Pages) makeBackup(v *visit) error {
	form := v.r.PostForm
	passphrase, clear := form.Get("passphrase.clear"), form.Get("clear") != ""
	wrong := map[string]string{}
	switch {
	case passphrase == "" && !clear:
		wrong["passphrase"] = "It is empty. Give a passphrase, or tick below that the keys may lie in the file readable for everybody who has it."
	case passphrase != "" && clear:
		wrong["clear"] = "There is a passphrase, too. Untick this, or empty the passphrase."
	case passphrase != "" && len(passphrase) < backup.MinPassphrase:
		wrong["passphrase"] = "It is too short. Take at least " + strconv.Itoa(backup.MinPassphrase) + " characters, such as four words."
	case passphrase != form.Get("again.clear"):
		wrong["again"] = "It is not the same. Type the passphrase twice."
	}
	if len(wrong) > 0 {
		return v.showBackup(http.StatusUnprocessableEntity, wrong)
	}
	if ok, err := v.prove(); err != nil {
		return err
	} else if !ok {
		return v.showBackup(http.StatusUnprocessableEntity, nil)
	}
	w := &waitingBackup{ID: rand.Text(), By: v.who.Name(), Made: p.Now()}
	ctx, ok := p.vault.begin(w)
	if !ok {
		return v.showBackup(http.StatusConflict, map[string]string{"passphrase": "A backup is being made right now. Wait until that is done, then make this one."})
	}
	done, from := make(chan struct{}), v.who.From().String()
	p.vault.jobs.Go(func() {
		defer close(done)
		made, err := p.Backups.Make(ctx, w.By, from, passphrase)
		if err != nil {
			p.Log.Error("a backup could not be made", "by", w.By, "error", err)
		}
		p.vault.end(w, made, err)
		p.node.forget()
	})
	wait(done)
	notice := ""
	if p.vault.get(w.ID, w.By) != nil {
		notice = "backup"
	}
	return v.redirect("/backup", notice)
}

// downloadBackup gives the file to who made it.
func (p *Pages) downloadBackup(v *visit) error {
	w := p.vault.get(v.r.PathValue("id"), v.who.Name())
	if w == nil {
		return v.who.NotThere("the backup", "it waits only "+span(backupLife)+" to be downloaded; make another")
	}
	w.reading.RLock()
	defer w.reading.RUnlock()
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+w.FileName()+`"`)
	http.ServeContent(v.w, v.r, "", time.Time{}, io.NewSectionReader(w.Content, 0, w.Size))
	return nil
}

// FileName is what the file is called: of which node, and when.
func (w *waitingBackup) FileName() string {
	name := "ss-server-" + plainFileName(cmp.Or(w.Summary.Header.Node, "node")) + w.Summary.Header.Made.UTC().Format("-20060102-1504") + ".zip"
	if w.Summary.Encrypted {
		name += ".age"
	}
	return strings.ReplaceAll(name, `"`, "_")
}

func (p *Pages) takeSnapshot(v *visit) error {
	if err := p.Backups.TakeSnapshot(v.who.Name(), v.who.From().String()); err != nil {
		return err
	}
	p.node.forget()
	return v.redirect("/backup", "snapshot")
}
