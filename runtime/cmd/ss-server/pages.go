package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/local"
	"ss-setup/migrate/report"
	"ss-setup/runtime/audit"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/web"
)

// backups are those that the pages make: web.Backups.
type backups struct {
	*server
	place node.Place
}

// Make implements web.Backups.
func (b backups) Make(ctx context.Context, by, from, passphrase string) (*web.Backup, error) {
	file, sum, err := b.spoolBackup(ctx, b.place, passphrase)
	b.tellBackup(by, from, err)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	b.noteBackup()
	return &web.Backup{Content: file, Size: info.Size(), Summary: sum}, nil
}

// Snapshots implements web.Backups.
func (b backups) Snapshots() ([]store.Snapshot, error) { return snapshotsIn(b.at.state).List() }

// TakeSnapshot implements web.Backups.
func (b backups) TakeSnapshot(by, from string) error {
	_, err := b.snapshots.Take(b.snapshots.snapshots, store.SnapshotManual)
	b.ops.audit.Append(audit.Event{Event: "backup.snapshot", Outcome: outcomeOf(err), By: by, From: from})
	return err
}

// Hour implements web.Backups.
func (b backups) Hour() int { return b.snapshotHour() }

func outcomeOf(err error) string {
	if err != nil {
		return audit.Failed
	}
	return audit.Done
}

// roomIn is how many bytes are free where a folder lies.
func roomIn(dir string) (free int64, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return 0, err
	}
	root, err := disk.Open(dir, disk.Options{})
	if err != nil {
		return 0, err
	}
	space, err := root.StatFS(vfs.Root)
	return space.Free, errors.Join(err, root.Close())
}

// restorer puts what was uploaded in force: web.Restorer.
type restorer struct {
	*server
	instance *daemon.Instance
	place    node.Place
}

// ownProduct is what a backup of this version can be said to be.
const ownProduct = "v7"

// Products implements web.Restorer.
func (r restorer) Products() []string { return append([]string{ownProduct}, migrate.Products()...) }

// Look implements web.Restorer.
func (r restorer) Look(ctx context.Context, f web.Incoming) (*web.Outlook, error) {
	a, file, err := openOwn(f)
	if err != nil {
		return nil, err
	}
	if a != nil {
		defer file.Close() // it was only read
		s, err := a.Verify(ctx)
		if err != nil {
			return nil, refused(err)
		}
		return outlookOf(s), nil
	}
	source, present, options, err := r.openOther(ctx, f)
	if err != nil {
		return nil, err
	}
	out, err := migrate.DryRun(ctx, source, present, options)
	if err = errors.Join(err, source.Close()); err != nil {
		return nil, refused(err)
	}
	out.Source.File = f.Name
	return &web.Outlook{
		Product: out.Source.Product, Version: out.Source.Version, Made: out.Source.Made, Report: out, Losses: out.LossSummary(),
	}, nil
}

// openOwn opens a backup of this version; nil if it is something else.
func openOwn(f web.Incoming) (*backup.Archive, io.Closer, error) {
	if f.From != "" && f.From != ownProduct {
		return nil, nil, nil
	}
	a, file, err := backup.OpenFile(f.Path, backup.ReadOptions{Passphrase: f.Passphrase, Schema: schema().Version()})
	switch {
	case err == nil:
		return a, file, nil
	case errors.Is(err, backup.ErrNotBackup) && f.From == "":
		return nil, nil, nil
	case errors.Is(err, backup.ErrPassphrase) && f.Passphrase == "":
		return nil, nil, &web.FileError{Field: "passphrase", Err: errors.New("the backup is encrypted; give the passphrase that it was made with")}
	case errors.Is(err, backup.ErrPassphrase):
		return nil, nil, &web.FileError{Field: "passphrase", Err: errors.New("it was made with another passphrase; type that one")}
	}
	return nil, nil, refused(err)
}

// openOther opens what another product made, and what an import must know of this server.
func (r restorer) openOther(ctx context.Context, f web.Incoming) (source importer.Source, present *migrate.Present, o importer.Options, err error) {
	from := f.From
	if from == ownProduct {
		from = ""
	}
	if source, err = migrate.OpenFrom(ctx, f.Path, from); err != nil {
		return nil, nil, o, refused(err)
	}
	home := r.instance.Home
	o, err = local.Options(local.Machine{
		State: r.at.state, Config: r.at.config, Generations: filepath.Dir(home.Dir), Own: []string{home.Dir, home.Data}, Account: local.Owner(home.Data),
	})
	if err == nil {
		o.TakeSuperAdmins, o.Passwords, o.SourceNode = f.TakeSuperAdmins, f.Passwords, f.Node
		present, err = r.present(ctx)
	}
	if err != nil {
		return nil, nil, o, errors.Join(err, source.Close())
	}
	return source, present, o, nil
}

// present is the configuration in force.
func (r restorer) present(ctx context.Context) (p *migrate.Present, err error) {
	file, _, err := r.spoolBackup(ctx, r.place, "")
	if err != nil {
		return nil, fmt.Errorf("read the configuration in force: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return readPresent(ctx, file.File)
}

// refused marks what is wrong with the file, and not with this server.
func refused(err error) error {
	for _, known := range []error{
		archive.ErrNotBackup, archive.ErrDamaged, archive.ErrHostile, archive.ErrEncrypted, archive.ErrOwn, archive.ErrTooOld, archive.ErrTooNew,
		backup.ErrNotBackup, backup.ErrDamaged, backup.ErrNewer, backup.ErrHostile,
	} {
		if errors.Is(err, known) {
			return &web.FileError{Err: err}
		}
	}
	var invalid *model.InvalidError
	if errors.As(err, &invalid) {
		return &web.FileError{Err: err}
	}
	return err
}

func outlookOf(s backup.Summary) *web.Outlook {
	o := &web.Outlook{Product: "SS Server", Version: s.Header.Version, Node: s.Header.Node, Made: s.Header.Made}
	for _, kind := range model.Kinds() {
		if n := s.Objects[string(kind)]; n > 0 {
			o.Counts = append(o.Counts, web.KindCount{Kind: kind, Count: n})
		}
	}
	return o
}

// PutInForce implements web.Restorer.
func (r restorer) PutInForce(ctx context.Context, f web.Incoming, seen *web.Outlook, by, from string, tell func(string), end func(web.Ending, error)) error {
	err := r.putInForce(ctx, f, seen, actor{by, from}, tell, end)
	r.tellRestoreFailed(actor{by, from}, err)
	return err
}

func (r restorer) putInForce(ctx context.Context, f web.Incoming, seen *web.Outlook, who actor, tell func(string), end func(web.Ending, error)) error {
	built, out, err := r.build(ctx, f, seen, tell)
	if err != nil {
		return err
	}
	if err = built.AddKeys(); err == nil {
		err = r.replacements.replace(r.server, r.instance, r.place, built.Name, who, func(done replacement) {
			err := built.Discard()
			if done.Error != "" {
				end(web.Ending{}, errors.New(done.Error))
				return
			}
			if err != nil {
				r.log.Warn("what a restore was built in could not be removed", "error", err)
			}
			ending := web.Ending{Kept: done.keptAs()}
			if out != nil {
				ending.Report = out
			}
			end(ending, nil)
		})
	}
	if err != nil {
		return errors.Join(err, built.Discard())
	}
	return nil
}

// build reads the file into a new store beside the one in force. The report is nil for a backup
// of this version.
func (r restorer) build(ctx context.Context, f web.Incoming, seen *web.Outlook, tell func(string)) (*node.Built, *report.Report, error) {
	a, file, err := openOwn(f)
	if err != nil {
		return nil, nil, err
	}
	if a != nil {
		defer file.Close() // it was only read
		built, err := r.place.Build(ctx, a, tell)
		return built, nil, err
	}
	source, present, options, err := r.openOther(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	built, out, err := migrate.Build(ctx, source, r.place, present, options, tell)
	if err = errors.Join(err, source.Close()); err != nil {
		return nil, nil, refused(err)
	}
	if agreed, ok := seen.Report.(*report.Report); !ok || !withinLosses(agreed.Losses(), out.Losses()) {
		err := &web.FileError{Field: web.LossesField, Err: errors.New("more would be lost, or something else, than when you looked; look at it again")}
		return nil, nil, errors.Join(err, built.Discard())
	}
	if err := r.stillPresent(ctx, present); err != nil {
		return nil, nil, errors.Join(err, built.Discard())
	}
	out.Source.File = f.Name
	return built, out, nil
}

// stillPresent looks whether what stays of the configuration was changed while the new one
// was made.
func (r restorer) stillPresent(ctx context.Context, present *migrate.Present) error {
	now, err := r.present(ctx)
	if err != nil {
		return err
	}
	if !present.Same(now) {
		return &web.FileError{Err: errChangedMeanwhile}
	}
	return nil
}

// withinLosses tells that nothing is lost that was not agreed to: what was put right since is no
// reason to refuse. The words do not count, they may name keys that are made anew each time.
func withinLosses(agreed, now []report.Line) bool {
	wordless := func(l report.Line) report.Line {
		l.What, l.Cure = "", ""
		return l
	}
	left := map[report.Line]int{}
	for _, l := range agreed {
		left[wordless(l)]++
	}
	for _, l := range now {
		key := wordless(l)
		if left[key] == 0 {
			return false
		}
		left[key]--
	}
	return true
}
